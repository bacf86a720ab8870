/**
 * Login with a browser: at the homeserver's OAuth 2.0 server where it announces one (Client-Server API, "OAuth 2.0
 * API"), else by single sign-on (the same, "SSO client login/authentication").
 */
import { createInterface } from "node:readline";
import { mxError } from "@mx-agent/base";
import type { Params, Result } from "@mx-agent/ipc";
import { note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { type Loopback, listenForCode, listenForToken } from "./loopback.ts";

const SSO = "m.login.sso";

export interface SignOn {
  homeserver: string;
  /** The identity provider of single sign-on; undefined lets the server ask. */
  provider: string | undefined;
  /** Milliseconds that the person may take. */
  timeout_ms: number;
}

type Secret = Params<"auth.login">["secret"];
type Flows = Result<"auth.flows">;

/** Shows the address to open, and resolves to what the browser brought for `auth.login`. */
export async function signOn(cli: Cli, wanted: SignOn): Promise<Secret> {
  const flows = await ask(cli, "auth.flows", { homeserver: wanted.homeserver });
  if (flows.oauth && wanted.provider === undefined) return byOAuth(cli, flows.homeserver, wanted.timeout_ms);
  if (!flows.types.includes(SSO)) throw notOffered(flows);
  return bySso(cli, flows, wanted);
}

async function byOAuth(cli: Cli, homeserver: string, timeout_ms: number): Promise<Secret> {
  const loopback = await listenForCode();
  try {
    const { url, state } = await ask(cli, "auth.oauth", { homeserver, redirect_uri: loopback.url });
    loopback.expect(state);
    const answer = await fromBrowser(cli, url, loopback, timeout_ms);
    if ("code" in answer) return { type: "oauth", state, code: answer.code };
    throw mxError(
      "MX_LOGIN_REFUSED",
      { url: homeserver, user: "a browser", detail: answer.error },
      { hint: "run the command again, and allow mx-agent in the browser" },
    );
  } finally {
    loopback.close();
  }
}

async function bySso(cli: Cli, flows: Flows, { provider, timeout_ms }: SignOn): Promise<Secret> {
  const known = flows.identity_providers.map(({ id }) => id);
  if (provider !== undefined && !known.includes(provider))
    throw mxError("MX_USAGE", {
      detail: `--idp ${provider}: that homeserver has ${known.join(", ") || "no providers to choose from"}`,
      command: "auth login",
    });
  const loopback = await listenForToken();
  try {
    const path = provider === undefined ? "" : `/${encodeURIComponent(provider)}`;
    const query = new URLSearchParams({ redirectUrl: loopback.url });
    const url = `${flows.homeserver}/_matrix/client/v3/login/sso/redirect${path}?${query}`;
    return { type: "login_token", token: await fromBrowser(cli, url, loopback, timeout_ms) };
  } finally {
    loopback.close();
  }
}

/** What the browser brings to loopback, or a person pastes. MX_TIMED_OUT. */
async function fromBrowser<T>(cli: Cli, url: string, loopback: Loopback<T>, timeout_ms: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      late.reject(mxError("MX_TIMED_OUT", { what: "the login in the browser", seconds: timeout_ms / 1000 })),
    timeout_ms,
  );
  const lines = createInterface({ input: cli.stdin });
  try {
    await note(
      cli,
      `Open this address in a browser and log in:\n  ${url}\n` +
        "Where the browser is on another machine, it ends at an address that it cannot open: paste that here.",
    );
    return await Promise.race([loopback.answer, pasted(cli, lines, loopback), late.promise]);
  } finally {
    clearTimeout(timer);
    lines.close();
  }
}

/** Never resolves where nothing is pasted: the browser may still come. */
function pasted<T>(
  cli: Cli,
  lines: ReturnType<typeof createInterface>,
  { url, answerOf }: Loopback<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      if (line.trim() === "") return;
      const answer = answerOf(line);
      if (answer !== undefined) return resolve(answer);
      note(cli, `That is not the address that this login ends at; it begins with ${url}?`).catch(reject);
    });
  });
}

function notOffered({ homeserver, types, oauth }: Flows) {
  const offered = [...types, ...(oauth ? ["OAuth 2.0, without --idp"] : [])].join(", ");
  return mxError(
    "MX_LOGIN_REFUSED",
    {
      url: homeserver,
      user: "a browser",
      detail: `it offers ${offered || "no login that is known"}, and no single sign-on`,
    },
    { hint: "log in with --user NAME, or with an access token by --token-stdin" },
  );
}

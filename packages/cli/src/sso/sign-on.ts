/** Single sign-on (Client-Server API, "SSO client login/authentication"): a browser logs in, and brings a token back. */
import { createInterface } from "node:readline";
import { mxError } from "@mx-agent/base";
import { note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { listenForToken } from "./loopback.ts";

const SSO = "m.login.sso";

export interface SignOn {
  homeserver: string;
  /** The identity provider; undefined lets the server ask. */
  provider: string | undefined;
  /** Milliseconds that the person may take. */
  timeout_ms: number;
}

/** Shows the address to open, and resolves to the token for `m.login.token`. */
export async function signOn(cli: Cli, { homeserver, provider, timeout_ms }: SignOn): Promise<string> {
  const flows = await ask(cli, "auth.flows", { homeserver });
  if (!flows.types.includes(SSO)) throw notOffered(flows);
  const known = flows.identity_providers.map(({ id }) => id);
  if (provider !== undefined && !known.includes(provider))
    throw mxError("MX_USAGE", {
      detail: `--idp ${provider}: that homeserver has ${known.join(", ") || "no providers to choose from"}`,
      command: "auth login",
    });
  const loopback = await listenForToken();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      late.reject(mxError("MX_TIMED_OUT", { what: "the login in the browser", seconds: timeout_ms / 1000 })),
    timeout_ms,
  );
  const lines = createInterface({ input: cli.stdin });
  try {
    const path = provider === undefined ? "" : `/${encodeURIComponent(provider)}`;
    const query = new URLSearchParams({ redirectUrl: loopback.url });
    await note(
      cli,
      `Open this address in a browser and log in:\n  ${flows.homeserver}/_matrix/client/v3/login/sso/redirect${path}?${query}\n` +
        "Where the browser is on another machine, it ends at an address that it cannot open: paste that here.",
    );
    return await Promise.race([loopback.token, pasted(cli, lines, loopback.tokenOf), late.promise]);
  } finally {
    clearTimeout(timer);
    lines.close();
    loopback.close();
  }
}

/** Never resolves where nothing is pasted: the browser may still come. */
function pasted(
  cli: Cli,
  lines: ReturnType<typeof createInterface>,
  tokenOf: (text: string) => string | undefined,
): Promise<string> {
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      if (line.trim() === "") return;
      const token = tokenOf(line);
      if (token !== undefined) return resolve(token);
      note(cli, "That is not the address that this login ends at; it has loginToken= in it.").catch(reject);
    });
  });
}

function notOffered({ homeserver, types, oauth }: { homeserver: string; types: string[]; oauth: boolean }) {
  const offered = [...types, ...(oauth ? ["OAuth 2.0, which mx-agent does not speak"] : [])].join(", ");
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

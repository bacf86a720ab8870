import { effectiveConfig, type MxError, mxError } from "@mx-agent/base";
import type { Params } from "@mx-agent/ipc";
import { answer, type JsonFlag } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { parseDuration } from "../parse/duration.ts";
import { directories } from "../places.ts";
import { askSecret, readLines } from "../prompt.ts";
import { pairs } from "../render/table.ts";
import { signOn } from "../sso/sign-on.ts";
import { type Define, verb } from "../verb.ts";
import { defineCrossSigning } from "./cross-signing.ts";

interface LoginFlags extends JsonFlag {
  homeserver?: string;
  user?: string;
  passwordStdin?: boolean;
  tokenStdin?: boolean;
  loginTokenStdin?: boolean;
  sso?: boolean;
  idp?: string;
  timeout: string;
  register?: boolean;
  registrationTokenStdin?: boolean;
  deviceName?: string;
}

type Secret = Params<"auth.login">["secret"];

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "login",
    summary: "log the daemon in to a homeserver",
    example: "auth login --homeserver https://matrix.example.org --user alice",
    more:
      "The password is asked for without echo, or read from stdin, or taken from MX_AGENT_PASSWORD;\n" +
      "it is never an argument. With both --password-stdin and --registration-token-stdin the first\n" +
      "line is the password and the second the token.\n" +
      "--sso is for servers that log people in with a browser: it shows an address to open, and waits on\n" +
      "loopback for the browser to come back. Where the browser runs on another machine, it ends at an\n" +
      "address that it cannot open; paste that.",
  })
    .option(
      "--homeserver <url>",
      "its URL, or a server name that publishes one; by default that of config.toml",
    )
    .option("--user <name>", "user name or full user id")
    .option("--password-stdin", "read the password from stdin")
    .option("--token-stdin", "read an access token from stdin, instead of a password")
    .option("--login-token-stdin", "read a token for m.login.token from stdin; it works once, for minutes")
    .option("--sso", "log in with a browser (OAuth 2.0 where the server has it, else m.login.sso)")
    .option("--idp <id>", "the identity provider of m.login.sso, where the server has several")
    .option("--timeout <duration>", "how long --sso waits for the browser", "5m")
    .option("--register", "make a new account")
    .option("--registration-token-stdin", "read the server's registration token from stdin")
    .option("--device-name <name>", "what other devices of the account see")
    .action(async (flags: LoginFlags) => {
      const homeserver = await homeserverOf(cli, flags);
      const account = await ask(cli, "auth.login", {
        homeserver,
        user: flags.user ?? null,
        secret: await secretOf(cli, flags, homeserver),
        device_name: flags.deviceName ?? null,
      });
      await answer(cli, flags, account, ({ user_id, device_id, homeserver }) =>
        pairs([
          ["logged in as", user_id],
          ["device", device_id],
          ["homeserver", homeserver],
        ]),
      );
    });

  verb(noun, {
    name: "status",
    summary: "which account the daemon uses",
    example: "auth status",
    more: "Exit status 3 when it is not logged in; where the homeserver logged it out, the message says whom and why.",
  }).action(async (flags: JsonFlag) => {
    const status = await ask(cli, "auth.status", {});
    const { account, sync } = status;
    if (account === null) throw mxError("MX_NOT_LOGGED_IN");
    await answer(cli, flags, status, () =>
      pairs([
        ["account", account.user_id],
        ["device", account.device_id],
        ["homeserver", account.homeserver],
        ["sync", sync.detail === null ? sync.state : `${sync.state} (${sync.detail})`],
      ]),
    );
  });

  verb(noun, {
    name: "logout",
    summary: "log out, on the homeserver too",
    example: "auth logout",
  }).action(async (flags: JsonFlag) => {
    const done = await ask(cli, "auth.logout", {});
    await answer(cli, flags, done, ({ user_id, server_side }) =>
      server_side
        ? `${user_id} is logged out`
        : `${user_id} is logged out here; the homeserver could not be told`,
    );
  });

  defineCrossSigning(
    verb(noun, {
      name: "cross-signing",
      summary: "the account's identity, which vouches for its devices",
      example: "auth cross-signing status",
    }),
    cli,
  );
};

async function secretOf(cli: Cli, flags: LoginFlags, homeserver: string): Promise<Secret> {
  if (flags.sso) {
    if (flags.passwordStdin || flags.tokenStdin || flags.loginTokenStdin || flags.register)
      throw usage("--sso stands alone: no password, no token, no --register");
    const timeout_ms = parseDuration(flags.timeout, "--timeout");
    return signOn(cli, { homeserver, provider: flags.idp, timeout_ms });
  }
  if (flags.loginTokenStdin) {
    if (flags.passwordStdin || flags.tokenStdin || flags.register)
      throw usage("--login-token-stdin stands alone: no other secret, no --register");
    return { type: "login_token", token: lineOf(await readLines(cli), 0, "a login token") };
  }
  if (flags.tokenStdin) {
    if (flags.passwordStdin || flags.register)
      throw usage("--token-stdin stands alone: no --password-stdin, no --register");
    return { type: "token", token: lineOf(await readLines(cli), 0, "an access token") };
  }
  if (!flags.user) throw usage("whose account? give --user");
  if (flags.registrationTokenStdin && !flags.register)
    throw usage("--registration-token-stdin is for --register");
  const lines = flags.passwordStdin || flags.registrationTokenStdin ? await readLines(cli) : [];
  const password = flags.passwordStdin
    ? lineOf(lines, 0, "a password")
    : (cli.env.MX_AGENT_PASSWORD ?? (await askPassword(cli, flags)));
  if (!flags.register) return { type: "password", password };
  const registration_token = flags.registrationTokenStdin
    ? lineOf(lines, flags.passwordStdin ? 1 : 0, "a registration token")
    : null;
  return { type: "register", password, registration_token };
}

async function askPassword(cli: Cli, flags: LoginFlags): Promise<string> {
  if (!cli.stdin.isTTY || flags.registrationTokenStdin)
    throw usage("no terminal to ask for the password: use --password-stdin or MX_AGENT_PASSWORD");
  const password = await askSecret(cli, `Password of ${flags.user}: `);
  if (flags.register && (await askSecret(cli, "Once more: ")) !== password)
    throw usage("the two passwords differ");
  return password;
}

function lineOf(lines: readonly string[], at: number, what: string): string {
  const line = lines[at];
  if (!line) throw usage(`stdin has no line with ${what}`);
  return line;
}

const usage = (detail: string): MxError => mxError("MX_USAGE", { detail, command: "auth login" });

/** The flag, or the setting of that name. */
async function homeserverOf(cli: Cli, flags: LoginFlags): Promise<string> {
  const { values } = await effectiveConfig({ configDir: directories(cli.env).config, env: cli.env });
  const homeserver = flags.homeserver ?? values.homeserver;
  if (homeserver) return homeserver;
  throw mxError("MX_USAGE", { detail: "--homeserver is missing", command: "auth login" });
}

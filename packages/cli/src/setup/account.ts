/** Makes sure that the daemon is logged in: with the account that it has, or one that is named or made now. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { failpoint, MxError, mxError } from "@mx-agent/base";
import type { Params } from "@mx-agent/ipc";
import { defaultAgentId } from "@mx-agent/protocol/core";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { askSecret, confirm, question, readLines } from "../prompt.ts";
import { forgetAccount, keepAccount, madeAccount } from "./record.ts";

export interface AccountFlags {
  user?: string;
  passwordStdin?: boolean;
  register?: boolean;
  registrationTokenStdin?: boolean;
  sso?: boolean;
}

export interface SetUpAccount {
  user_id: string;
  homeserver: string;
  /** Logged in by this call. */
  logged_in: boolean;
}

interface Wanted {
  homeserver: string;
  /** Of the command that asks, for messages. */
  command: string;
  /** From an invitation: it lets a new account be made without asking anybody. */
  registration_token: string | null;
  /** Makes the account on a homeserver whose data are on this machine. */
  make?(user: string, password: string): Promise<void>;
}

const SSO_MS = 300_000;

/** MX_USAGE where something has to be asked and there is no terminal. */
export async function ensureAccount(cli: Cli, flags: AccountFlags, wanted: Wanted): Promise<SetUpAccount> {
  const { homeserver } = wanted;
  if (flags.sso) {
    const { signOn } = await import("../sso/sign-on.ts");
    const secret = await signOn(cli, { homeserver, provider: undefined, timeout_ms: SSO_MS });
    return logIn(cli, homeserver, null, secret);
  }
  const secrets = await secretsOf(cli, flags);
  const user = flags.user ?? (await defaultUser(cli, flags, wanted));
  const kept = madeAccount(cli.env, homeserver, user);
  if (secrets.password === null && kept) {
    const again = await goOn(cli, kept, wanted);
    if (again) return again;
  }
  if (wanted.make) return makeHere(cli, { user, ...secrets }, wanted);
  const registration_token = secrets.registration_token ?? wanted.registration_token;
  const register = flags.register === true || registration_token !== null;
  if (!register) {
    const password = secrets.password ?? (await passwordOf(cli, user, wanted.command));
    return logIn(cli, homeserver, user, { type: "password", password });
  }
  const tryAs = (name: string) => {
    const password = secrets.password ?? newPassword(cli, homeserver, name);
    failpoint("setup.before_register");
    return logIn(cli, homeserver, name, { type: "register", password, registration_token });
  };
  try {
    return await tryAs(user);
  } catch (error) {
    // Another machine of that name was first. Who chose the name himself chooses again.
    if (flags.user !== undefined || !isTaken(error)) throw error;
    if (secrets.password === null) forgetAccount(cli.env, { homeserver, user });
    return tryAs(`${user}-${randomBytes(2).toString("hex")}`);
  }
}

const isTaken = (error: unknown) => error instanceof MxError && error.details.errcode === "M_USER_IN_USE";

interface Secrets {
  password: string | null;
  registration_token: string | null;
}

async function secretsOf(cli: Cli, flags: AccountFlags): Promise<Secrets> {
  const lines = flags.passwordStdin || flags.registrationTokenStdin ? await readLines(cli) : [];
  const password = flags.passwordStdin ? (lines[0] ?? "") : (cli.env.MX_AGENT_PASSWORD ?? null);
  const token = flags.registrationTokenStdin ? (lines[flags.passwordStdin ? 1 : 0] ?? "") : null;
  if (password === "" || token === "")
    throw mxError("MX_USAGE", { detail: "stdin has too few lines", command: "" });
  return { password, registration_token: token };
}

/** A password that was made here before: the account may be there, or not yet. */
async function goOn(
  cli: Cli,
  { user, password }: { user: string; password: string },
  wanted: Wanted,
): Promise<SetUpAccount | undefined> {
  try {
    return await logIn(cli, wanted.homeserver, user, { type: "password", password });
  } catch (error) {
    if (error instanceof MxError && error.code === "MX_LOGIN_REFUSED") return undefined;
    throw error;
  }
}

async function makeHere(
  cli: Cli,
  secrets: Secrets & { user: string },
  wanted: Wanted,
): Promise<SetUpAccount> {
  const { user } = secrets;
  const given = secrets.password;
  const password = given ?? newPassword(cli, wanted.homeserver, user);
  failpoint("setup.before_account");
  try {
    await wanted.make?.(user, password);
  } catch (error) {
    // There already: whoever gives its password may go on with it.
    if (!(error instanceof MxError) || error.code !== "MX_BAD_INPUT" || given === null) throw error;
  }
  failpoint("setup.before_login");
  return logIn(cli, wanted.homeserver, user, { type: "password", password });
}

async function logIn(
  cli: Cli,
  homeserver: string,
  user: string | null,
  secret: Params<"auth.login">["secret"],
): Promise<SetUpAccount> {
  const account = await ask(cli, "auth.login", { homeserver, user, secret, device_name: null });
  return { user_id: account.user_id, homeserver: account.homeserver, logged_in: true };
}

/** Written down before it is used: a call that is interrupted can go on with the account that it made. */
function newPassword(cli: Cli, homeserver: string, user: string): string {
  const kept = madeAccount(cli.env, homeserver, user);
  if (kept) return kept.password;
  const password = randomBytes(18).toString("base64url");
  keepAccount(cli.env, { homeserver, user, password });
  return password;
}

/** Where an account is made, it has the machine's name; where one is there, only its owner knows it. */
async function defaultUser(cli: Cli, flags: AccountFlags, wanted: Wanted): Promise<string> {
  const kept = madeAccount(cli.env, wanted.homeserver);
  if (kept) return kept.user;
  if (wanted.make || flags.register || wanted.registration_token !== null) return machineUser();
  if (!cli.stdin.isTTY || flags.passwordStdin || flags.registrationTokenStdin)
    throw mxError("MX_USAGE", {
      detail: `with which account at ${wanted.homeserver}? give --user NAME, with --password-stdin or MX_AGENT_PASSWORD, and --register for a new one`,
      command: wanted.command,
    });
  if (!(await confirm(cli, `Is there an account for this machine at ${wanted.homeserver}?`)))
    flags.register = true;
  return (await question(cli, `User name [${machineUser()}]: `)) || machineUser();
}

async function passwordOf(cli: Cli, user: string, command: string): Promise<string> {
  if (cli.stdin.isTTY) return askSecret(cli, `Password of ${user}: `);
  throw mxError("MX_USAGE", {
    detail: "no terminal to ask for the password: use --password-stdin or MX_AGENT_PASSWORD",
    command,
  });
}

/** The machine's name in the characters that user ids have. */
export function machineUser(): string {
  const name = defaultAgentId(hostname())
    .toLowerCase()
    .replace(/[^a-z0-9._=/+-]+/g, "-")
    .replace(/^[-_]+|-+$/g, "");
  return name || "agent";
}

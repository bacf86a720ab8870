/** What `up` and `join` have to remember of a home between calls: one 0600 file in the data directory. */
import { join } from "node:path";
import { type Env, ensurePrivateDir, mxError, readPrivateFile, writeFileAtomic } from "@mx-agent/base";
import { directories } from "../places.ts";

export interface SetupRecord {
  /** The embedded homeserver that `up` started for this home, and where it listens. */
  embedded?: { data: string; bind: string };
  /** What guests are to reach, where it is not what this machine reaches. */
  public_url?: string;
  tunnel?: { pid: number; url: string };
  /** Passwords that were made here, the latest first. Without them these accounts could not be logged in again. */
  accounts?: MadeAccount[];
}

export interface MadeAccount {
  homeserver: string;
  user: string;
  password: string;
}

const fileOf = (env: Env) => join(directories(env).data, "setup.json");

export function readRecord(env: Env): SetupRecord {
  const file = fileOf(env);
  const text = readPrivateFile(file)?.toString("utf8");
  if (text === undefined) return {};
  try {
    const { account, ...record }: SetupRecord & { account?: MadeAccount } = JSON.parse(text);
    // Version 0.1.0 wrote down the latest one alone.
    return account === undefined ? record : { ...record, accounts: [account, ...(record.accounts ?? [])] };
  } catch (error) {
    throw mxError(
      "MX_STORE_DAMAGED",
      { file, detail: "it is not JSON", hint: "move it away; the password of the account may be in it" },
      { cause: error },
    );
  }
}

/** Changes what is given, and keeps the rest. */
export function remember(env: Env, change: { [K in keyof SetupRecord]: SetupRecord[K] | undefined }): void {
  ensurePrivateDir(directories(env).data);
  writeFileAtomic(fileOf(env), `${JSON.stringify({ ...readRecord(env), ...change }, null, 2)}\n`);
}

/** The account at this homeserver whose password was made here, the latest or that of this user. */
export function madeAccount(env: Env, homeserver: string, user?: string): MadeAccount | undefined {
  return readRecord(env).accounts?.find(
    (one) => one.homeserver === homeserver && (user === undefined || one.user === user),
  );
}

export function keepAccount(env: Env, account: MadeAccount): void {
  remember(env, { accounts: [account, ...withoutAccount(env, account)] });
}

/** For a name that turned out to be somebody else's. */
export function forgetAccount(env: Env, account: Pick<MadeAccount, "homeserver" | "user">): void {
  remember(env, { accounts: withoutAccount(env, account) });
}

function withoutAccount(env: Env, { homeserver, user }: Pick<MadeAccount, "homeserver" | "user">) {
  return (readRecord(env).accounts ?? []).filter((one) => one.homeserver !== homeserver || one.user !== user);
}

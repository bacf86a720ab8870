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
  /** A password that was made here. Without it the account could not be logged in again. */
  account?: { homeserver: string; user: string; password: string };
}

const fileOf = (env: Env) => join(directories(env).data, "setup.json");

export function readRecord(env: Env): SetupRecord {
  const file = fileOf(env);
  const text = readPrivateFile(file)?.toString("utf8");
  if (text === undefined) return {};
  try {
    const record: SetupRecord = JSON.parse(text);
    return record;
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

import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { mxError } from "@mx-agent/base";

/** That one server, and no second one, serves a data directory. */
export interface DataLock {
  release(): void;
}

const lockFile = (dataDir: string) => join(dataDir, "lock.db");

/**
 * Takes the data directory, or MX_HOMESERVER_START when another server has it. Node has no flock; an
 * exclusive lock of SQLite ends with the process, however that ends.
 */
export function lockDataDir(dataDir: string): DataLock {
  // Somebody who only asks whether it is taken holds it for an instant.
  const lock = tryLock(dataDir, 500);
  if (lock === undefined) {
    throw mxError("MX_HOMESERVER_START", { detail: `another homeserver is using ${dataDir}` });
  }
  return lock;
}

/** Whether a server has the data directory now. Those who ask do not stand in each other's way. */
export function isLocked(dataDir: string): boolean {
  if (!existsSync(lockFile(dataDir))) return false;
  // A shared lock: it fails beside an exclusive one, and beside no other shared one.
  const probe = tryLock(dataDir, 0, "BEGIN; SELECT COUNT(*) FROM sqlite_schema");
  probe?.release();
  return probe === undefined;
}

function tryLock(dataDir: string, waitMs: number, begin = "BEGIN EXCLUSIVE"): DataLock | undefined {
  const sqlite = new DatabaseSync(lockFile(dataDir), { timeout: waitMs });
  try {
    sqlite.exec(begin);
  } catch {
    sqlite.close();
    return undefined;
  }
  return { release: () => sqlite.close() };
}

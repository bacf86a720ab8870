import { MxError, mxError, toMxError } from "@mx-agent/base";

/** Primary result codes of SQLite (sqlite3.h). */
const code = { error: 1, busy: 5, locked: 6, corrupt: 11, notADatabase: 26 } as const;

/** What `node:sqlite` threw while the store was opened and read, as an error of ours that names the file. */
export function openError(file: string, thrown: unknown): MxError {
  if (thrown instanceof MxError) return thrown;
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  switch (resultCode(thrown)) {
    case code.busy:
    case code.locked:
      return mxError("MX_STORE_LOCKED", { file }, { cause: thrown });
    case code.corrupt:
    case code.notADatabase:
    case code.error:
      return damaged(file, detail, thrown);
    case undefined:
      return thrown instanceof Error && "syscall" in thrown
        ? cannotWrite(file, detail, thrown)
        : toMxError(thrown);
    default:
      return cannotWrite(file, detail, thrown);
  }
}

export function damaged(file: string, detail: string, cause?: unknown): MxError {
  const hint =
    "move it aside (with the files -wal and -shm beside it) and log in again: this becomes a new device, and recovery with the recovery key brings back what the key backup has";
  return mxError("MX_STORE_DAMAGED", { file, detail, hint }, { cause });
}

/** A change of the store that is perhaps not on disk. */
export function cannotWrite(file: string, detail: string, cause?: unknown): MxError {
  const hint = "check free space, quota and permissions, and start the daemon again";
  return mxError("MX_CANNOT_WRITE", { path: file, detail, hint }, { cause });
}

function resultCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !("errcode" in thrown)) return undefined;
  return typeof thrown.errcode === "number" ? thrown.errcode & 0xff : undefined;
}

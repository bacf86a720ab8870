import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { failpoint } from "./failpoint.ts";
import { mxError } from "./mx-error.ts";

let written = 0;

/**
 * Replaces a file as a whole: written beside it, synced, renamed over it, the directory synced. After a
 * crash at any point the file is the old one or the new one. `mode` holds from the first byte.
 * MX_CANNOT_WRITE when it cannot be done, with nothing left behind.
 */
export function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: { mode: number } = { mode: 0o600 },
): void {
  const temporary = `${path}.${process.pid}.${++written}.tmp`;
  try {
    writeSynced(temporary, data, options.mode);
    failpoint("write_file.before_rename");
    renameSync(temporary, path);
    failpoint("write_file.after_rename");
    syncDirectory(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    const detail = error instanceof Error ? error.message : String(error);
    throw mxError("MX_CANNOT_WRITE", { path, detail, hint: hintFor(error) }, { cause: error });
  }
}

function writeSynced(path: string, data: string | Uint8Array, mode: number): void {
  // A file of a crashed process with the same pid may be there; it is never followed as a link.
  rmSync(path, { force: true });
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
  try {
    fchmodSync(file, mode);
    writeFileSync(file, data);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes a rename in it durable. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/**
 * Reads a file that only we may know or write: undefined when there is none, MX_INSECURE_PATH when it is
 * a symbolic link or no regular file, or another user owns or may open it.
 */
export function readPrivateFile(
  path: string,
  uid: number | undefined = process.getuid?.(),
): Buffer | undefined {
  const file = openWithoutFollowing(path);
  if (file === undefined) return undefined;
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw insecure(path, "is not a regular file");
    if (stat.uid !== uid) throw insecure(path, `belongs to uid ${stat.uid}`);
    if ((stat.mode & 0o077) !== 0)
      throw insecure(
        path,
        `can be opened by others (mode ${(stat.mode & 0o777).toString(8).padStart(4, "0")})`,
      );
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * MX_INSECURE_PATH where somebody else could have written the file (following links): another user than root owns it,
 * or it may be written by others. One that is not there is fine.
 */
export function checkOwnFile(path: string, uid: number | undefined = process.getuid?.()): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.uid !== uid && stat.uid !== 0) throw insecure(path, `belongs to uid ${stat.uid}`);
  // A group of one's own (umask 002) is nobody else.
  const groupWrites = (stat.mode & 0o020) !== 0 && stat.gid !== process.getgid?.();
  if ((stat.mode & 0o002) !== 0 || groupWrites)
    throw insecure(
      path,
      `can be written by others (mode ${(stat.mode & 0o777).toString(8).padStart(4, "0")})`,
    );
}

function openWithoutFollowing(path: string): number | undefined {
  try {
    // Not blocking: a FIFO in its place must not make us wait for a writer.
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return undefined;
    if (code === "ELOOP") throw insecure(path, "is a symbolic link");
    throw error;
  }
}

function insecure(path: string, detail: string): Error {
  return mxError("MX_INSECURE_PATH", { path, detail, mode: "0600" });
}

function hintFor(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT") return "make room on that disk";
  if (code === "EROFS") return "the file system is read-only";
  return "check that the directory exists and is yours";
}

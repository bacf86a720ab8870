/** What was checked is what is used: files opened and compared right before a spawn. */
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { FileIdentity } from "@mx-agent/base";

/** Opens a path without any access to its content; not in Node's constants. */
const O_PATH = process.platform === "linux" ? 0o10000000 : 0;

/** Why a run could not be started: the code of `RunEnd.error`. */
export class StartFailure extends Error {
  override readonly name = "StartFailure";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Opens a directory or file by its real path. With an identity it must be that very one; without, it
 * must still be where its path says, without links on the way. The caller closes the descriptor.
 */
export function openChecked(path: string, identity?: FileIdentity): number {
  let fd: number;
  try {
    fd = openSync(path, O_PATH | constants.O_RDONLY);
  } catch (error) {
    throw new StartFailure(systemCode(error), `${path}: ${messageOf(error)}`);
  }
  try {
    const now = fstatSync(fd);
    if (identity !== undefined && (now.dev !== identity.dev || now.ino !== identity.ino))
      throw new StartFailure("CHANGED", `${path} is not what it was when it was checked`);
    const real = process.platform === "linux" ? readlinkSync(`/proc/self/fd/${fd}`) : realpathSync(path);
    if (real !== path) throw new StartFailure("CHANGED", `${path} has become a link to ${real}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** An absolute path with every link followed; of what is not there, as far as it is. */
export function realPathOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (systemCode(error) === "EIO") throw new StartFailure("EIO", `${path}: ${messageOf(error)}`);
    const parent = dirname(path);
    return parent === path ? path : join(realPathOf(parent), basename(path));
  }
}

/** The working directory, opened and compared. */
export function openDirectory(identity: FileIdentity): number {
  const fd = openChecked(identity.path, identity);
  if (fstatSync(fd).isDirectory()) return fd;
  closeSync(fd);
  throw new StartFailure("ENOTDIR", `${identity.path} is not a directory`);
}

/**
 * Compares the program and sees whether the system would execute it. A file that is neither a binary
 * nor names its interpreter is refused here, because execvp(3) would hand it to a shell.
 */
export function checkExecutable(executable: FileIdentity): void {
  const { path } = executable;
  const fd = openChecked(path, executable);
  try {
    const now = fstatSync(fd);
    if (now.isDirectory()) throw new StartFailure("EISDIR", `${path} is a directory`);
    if (!now.isFile()) throw new StartFailure("EACCES", `${path} is not a file`);
  } finally {
    closeSync(fd);
  }
  try {
    accessSync(path, constants.X_OK);
  } catch (error) {
    throw new StartFailure(systemCode(error), `${path} may not be executed: ${messageOf(error)}`);
  }
  const magic = firstBytes(path);
  if (magic !== null && !isBinary(magic) && magic.subarray(0, 2).toString("latin1") !== "#!")
    throw new StartFailure("ENOEXEC", `${path} is neither a program nor a script that names its interpreter`);
}

/** null where the file may be executed but not read. */
function firstBytes(path: string): Buffer | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY);
  } catch (error) {
    if (systemCode(error) === "EACCES") return null;
    throw new StartFailure(systemCode(error), messageOf(error));
  }
  try {
    const bytes = Buffer.alloc(4);
    return bytes.subarray(0, readSync(fd, bytes, 0, 4, 0));
  } finally {
    closeSync(fd);
  }
}

/** ELF on Linux; thin and universal Mach-O on macOS. */
function isBinary(magic: Buffer): boolean {
  const hex = magic.toString("hex");
  if (process.platform === "linux") return hex === "7f454c46";
  return ["cffaedfe", "cefaedfe", "cafebabe", "cafebabf"].includes(hex);
}

export function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "EIO";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

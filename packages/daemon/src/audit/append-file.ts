import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { failpoint, MxError, mxError, syncDirectory } from "@mx-agent/base";

/** One file that only grows: an addition is on the disk as a whole when `append` returns, or not there. */
export class AppendFile {
  readonly path: string;
  readonly #fd: number;
  #size: number;
  #unfinished = false;

  private constructor(path: string, fd: number, size: number) {
    this.path = path;
    this.#fd = fd;
    this.#size = size;
  }

  static open(path: string): AppendFile {
    const fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
    return new AppendFile(path, fd, fstatSync(fd).size);
  }

  /** A new file, 0600, in a directory that is synced. @throws MX_CANNOT_WRITE */
  static create(path: string): AppendFile {
    try {
      const fd = openSync(
        path,
        constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
        0o600,
      );
      try {
        fsyncSync(fd);
        syncDirectory(dirname(path));
      } catch (error) {
        closeSync(fd);
        unlinkSync(path);
        throw error;
      }
      return new AppendFile(path, fd, 0);
    } catch (error) {
      throw cannotWrite(path, error);
    }
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Writes and syncs. Where that fails the file is what it was, and so is this object.
   * @throws MX_CANNOT_WRITE when the disk does not take it, MX_STORE_DAMAGED when somebody else changed the file.
   */
  append(bytes: Uint8Array): void {
    failpoint("audit.before_write");
    try {
      this.#checkUntouched();
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#size + done);
      }
      failpoint("audit.after_write");
      fdatasyncSync(this.#fd);
    } catch (error) {
      if (error instanceof MxError) throw error;
      this.#tryUndo();
      throw cannotWrite(this.path, error);
    }
    failpoint("audit.after_sync");
    this.#size += bytes.length;
  }

  /** Cuts what stands after `size`, durably: for the repair of an unfinished line. */
  truncate(size: number): void {
    ftruncateSync(this.#fd, size);
    fsyncSync(this.#fd);
    this.#size = size;
  }

  /** An addition that failed half-way must not be there for the next one to follow. */
  #tryUndo(): void {
    try {
      this.#undo();
    } catch {
      // Marked as unfinished: nothing is written before it is undone.
    }
  }

  #undo(): void {
    this.#unfinished = true;
    ftruncateSync(this.#fd, this.#size);
    fdatasyncSync(this.#fd);
    this.#unfinished = false;
  }

  /** A log that was deleted, cut or written to by somebody else would take lines that nobody can rely on. */
  #checkUntouched(): void {
    if (this.#unfinished) this.#undo();
    const { nlink, size } = fstatSync(this.#fd);
    if (nlink > 0 && size === this.#size) return;
    throw mxError("MX_STORE_DAMAGED", {
      file: this.path,
      detail: `somebody ${nlink === 0 ? "removed" : "changed"} it while it was in use`,
      hint: "nothing runs until it can be relied on: look at `mx-agent audit verify`, then `mx-agent daemon restart`",
    });
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export function cannotWrite(path: string, error: unknown): Error {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const full = code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
  return mxError(
    "MX_CANNOT_WRITE",
    {
      path,
      detail: error instanceof Error ? error.message : String(error),
      hint: full
        ? "make room on that disk; until then nothing runs, because it could not be put on record"
        : "nothing runs until the audit log can be written; check the directory and the disk",
    },
    { cause: error },
  );
}

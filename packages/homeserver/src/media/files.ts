import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, open, readdir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { MatrixError, tooLarge } from "../http/errors.ts";

const TEMPORARY = ".upload-";

/** Uploaded bytes as files outside of the database, named by their SHA-256. */
export class MediaFiles {
  readonly #root: string;
  readonly #ephemeral: boolean;

  private constructor(root: string, ephemeral: boolean) {
    this.#root = root;
    this.#ephemeral = ephemeral;
  }

  /**
   * Only the process that holds the data directory's lock may. `null` keeps the files in a temporary
   * directory that close() removes.
   */
  static async open(dataDir: string | null): Promise<MediaFiles> {
    if (dataDir === null) return new MediaFiles(await mkdtemp(join(tmpdir(), "mx-homeserver-media-")), true);
    const root = join(dataDir, "media");
    await mkdir(root, { recursive: true, mode: 0o700 });
    await syncDirectory(dataDir);
    // Uploads that a killed server did not finish.
    const unfinished = (await readdir(root)).filter((name) => name.startsWith(TEMPORARY));
    await Promise.all(unfinished.map((name) => rm(join(root, name), { force: true })));
    return new MediaFiles(root, false);
  }

  /** Takes bytes in, at most `max` (M_TOO_LARGE); they are on disk when this resolves. */
  async put(source: Readable, max: number): Promise<{ sha256: string; size: number }> {
    const temporary = join(this.#root, `${TEMPORARY}${randomUUID()}`);
    const hash = createHash("sha256");
    let size = 0;
    try {
      const file = createWriteStream(temporary, { mode: 0o600, flush: true });
      const closed = new Promise<void>((resolve, reject) =>
        file.once("close", resolve).once("error", reject),
      );
      closed.catch(() => {});
      try {
        for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
          size += chunk.length;
          if (size > max) throw tooLarge(`an upload may have ${max} bytes`);
          hash.update(chunk);
          if (!file.write(chunk)) await Promise.race([once(file, "drain"), closed]);
        }
      } catch (error) {
        if (error instanceof MatrixError || !source.destroyed) throw error;
        throw new MatrixError(400, "M_UNKNOWN", "the upload did not arrive in full");
      } finally {
        file.end();
      }
      await closed;
      const sha256 = hash.digest("hex");
      await mkdir(join(this.#root, sha256.slice(0, 2)), { recursive: true, mode: 0o700 });
      await rename(temporary, this.path(sha256));
      await syncDirectory(join(this.#root, sha256.slice(0, 2)));
      await syncDirectory(this.#root);
      return { sha256, size };
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** Where the bytes with a hash are; the hash comes from the database, never from a request. */
  path(sha256: string): string {
    return join(this.#root, sha256.slice(0, 2), sha256);
  }

  async has(sha256: string): Promise<boolean> {
    return await stat(this.path(sha256)).then(
      () => true,
      () => false,
    );
  }

  async close(): Promise<void> {
    if (this.#ephemeral) await rm(this.#root, { recursive: true, force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

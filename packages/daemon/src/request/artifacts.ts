import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import type { StreamArtifact } from "@mx-agent/protocol";
import type { Media } from "../matrix/media.ts";

/** What is fetched of one artifact at most, as it was uploaded and as it was written. */
const MAX_UPLOADED = 64 * 1024 * 1024;
const MAX_BYTES = 256 * 1024 * 1024;
const PIECE = 64 * 1024;

const decompress = promisify(zstdDecompress);

export interface ArtifactSink {
  /** Where they were announced. */
  room_id: string;
  media: Pick<Media, "download">;
  /** Hands bytes on; resolves when the reader can take more. */
  deliver(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
}

/**
 * Output that a daemon of the first protocol uploaded instead of sending it in chunks: usually compressed, and announced
 * with size and digest of the compressed bytes (PROTOCOL.md, "A daemon of the first protocol").
 */
export class Artifacts {
  readonly #sink: ArtifactSink;
  #last: Promise<void> = Promise.resolve();
  #failed = false;

  constructor(sink: ArtifactSink) {
    this.#sink = sink;
  }

  /** Fetches one and hands it on, one after another. */
  take(artifact: StreamArtifact): void {
    const { stream } = artifact;
    if (stream !== "stdout" && stream !== "stderr") return;
    this.#last = this.#last
      .then(() => this.#fetch(stream, artifact))
      .catch(() => {
        this.#failed = true;
      });
  }

  /** Resolves when all that were announced were handed on: whether they could be. */
  async settled(): Promise<boolean> {
    await this.#last;
    return !this.#failed;
  }

  async #fetch(stream: "stdout" | "stderr", artifact: StreamArtifact): Promise<void> {
    const uploaded = await this.#sink.media.download(this.#sink.room_id, artifact, MAX_UPLOADED);
    const bytes = artifact.mime_type.endsWith("+zstd")
      ? await decompress(uploaded, { maxOutputLength: MAX_BYTES })
      : uploaded;
    for (let at = 0; at < bytes.length; at += PIECE)
      await this.#sink.deliver(stream, bytes.subarray(at, at + PIECE));
  }
}

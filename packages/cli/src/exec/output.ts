/** Where the output of a run goes: as bytes, collected for one JSON answer, or as a line of JSON each. */
import type { MxError } from "@mx-agent/base";
import type { ExecOutput, ExecResult } from "@mx-agent/ipc";
import { type Cli, write } from "../cli.ts";
import { startProgress } from "../progress.ts";
import { errorLines } from "../render/errors.ts";
import { visible } from "../render/style.ts";
import { trace } from "../verbose.ts";

export interface OutputSink {
  item(item: ExecOutput): Promise<void>;
  /** The method's result; comes once, last, where there was a run. `error` where the exit status is ours. */
  end(result: ExecResult, error: MxError | null): Promise<void>;
}

/** Bytes exact, each stream to its own; what is ours to say in words on stderr. */
export function rawOutput(cli: Cli): OutputSink {
  return {
    async item(item) {
      if (item.type === "chunk")
        await write(item.stream === "stdout" ? cli.stdout : cli.stderr, Buffer.from(item.data, "base64"));
      else if (item.type === "away")
        await write(
          cli.stderr,
          "it has ended; the other machine does not answer, and the rest of its output is waited for\n",
        );
      else if (item.type === "held")
        await write(
          cli.stderr,
          `waiting for approval until ${visible(item.expires_at)}: ${visible(item.summary)}\n`,
        );
      else await trace(cli, whatHappened(item));
    },
    async end(result, error) {
      if (result.type === "detached") await write(cli.stdout, `${result.invocation_id}\n`);
      if (error !== null) await write(cli.stderr, errorLines(error));
    },
  };
}

/** As `sink`, and until the first of it a person sees that it is waited for. */
export function announced(cli: Cli, what: string, sink: OutputSink): OutputSink & { stop(): void } {
  const progress = startProgress(cli, what);
  return {
    async item(item) {
      if (item.type !== "requested") progress.stop();
      await sink.item(item);
    },
    end: (result, error) => sink.end(result, error),
    stop: () => progress.stop(),
  };
}

const whatHappened = (item: Exclude<ExecOutput, { type: "chunk" | "held" | "away" }>) =>
  item.type === "requested"
    ? `sent as ${item.invocation_id} (request ${item.request_id})`
    : "it was accepted";

/**
 * One object: the result, with the output as text where it is UTF-8 and as base64 where it is not, and `error` beside
 * them where the exit status is ours.
 */
export function collectedOutput(cli: Cli): OutputSink {
  const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  return {
    async item(item) {
      if (item.type === "chunk") chunks[item.stream].push(Buffer.from(item.data, "base64"));
    },
    async end(result, error) {
      const { stdout, stderr } = chunks;
      const output = result.type === "finished" ? { stdout: encoded(stdout), stderr: encoded(stderr) } : {};
      await write(cli.stdout, `${JSON.stringify({ ...result, ...output, ...errorField(error) })}\n`);
    },
  };
}

/** Every item and the result as one line each, as they come; the result with `error` as above. */
export function streamedOutput(cli: Cli): OutputSink {
  const line = (value: object) => write(cli.stdout, `${JSON.stringify(value)}\n`);
  return { item: line, end: (result, error) => line({ ...result, ...errorField(error) }) };
}

/** `error`, beside a result whose exit status is ours. */
export const errorField = (error: MxError | null) => (error === null ? {} : { error: error.toJSON() });

/**
 * Passes on what is new in an output that is sent again from its beginning: after a restart of the
 * daemon the bytes that were written before are left out.
 */
export class Continuation {
  readonly #sink: OutputSink;
  readonly #written = { stdout: 0, stderr: 0 };
  #replayed = { stdout: 0, stderr: 0 };
  #requested: Extract<ExecOutput, { type: "requested" }> | undefined;
  #accepted = false;

  constructor(sink: OutputSink) {
    this.#sink = sink;
  }

  /** Known as soon as the request was sent. */
  get requested(): Extract<ExecOutput, { type: "requested" }> | undefined {
    return this.#requested;
  }

  async item(item: ExecOutput): Promise<void> {
    if (item.type === "requested") {
      if (this.#requested !== undefined) return;
      this.#requested = item;
    }
    if (item.type === "accepted") {
      if (this.#accepted) return;
      this.#accepted = true;
    }
    if (item.type !== "chunk") return this.#sink.item(item);
    const bytes = Buffer.from(item.data, "base64");
    const start = this.#replayed[item.stream];
    this.#replayed[item.stream] += bytes.length;
    const fresh = bytes.subarray(Math.max(0, this.#written[item.stream] - start));
    if (fresh.length === 0) return;
    this.#written[item.stream] += fresh.length;
    await this.#sink.item(fresh.length === bytes.length ? item : { ...item, data: fresh.toString("base64") });
  }

  /** From here on the output comes from its beginning again. */
  rewind(): void {
    this.#replayed = { stdout: 0, stderr: 0 };
  }
}

function encoded(chunks: Buffer[]): { encoding: "utf-8" | "base64"; data: string } {
  const bytes = Buffer.concat(chunks);
  const text = bytes.toString("utf8");
  return Buffer.from(text, "utf8").equals(bytes)
    ? { encoding: "utf-8", data: text }
    : { encoding: "base64", data: bytes.toString("base64") };
}

import { join } from "node:path";
import { EventTypes } from "@mx-agent/protocol";
import type { RunEnd, RunnerClient, RunStream } from "@mx-agent/runner";
import type { Identity } from "../identity.ts";
import type { Outbox, Outgoing } from "../matrix/api.ts";
import { ChunkIndex } from "./chunk-index.ts";
import { StreamPublisher } from "./stream-publisher.ts";

/** Timeline chunks are events of the room: they are gathered for longer. */
const TIMELINE_GATHER_MS = 1_000;

export interface PublisherOptions {
  invocation_id: string;
  run_id: string;
  room_id: string;
  /** The requester's device, when it takes streams to-device; null sends chunks into the timeline. */
  reply: { user_id: string; device_id: string } | null;
  /** Where chunk boundaries are kept. */
  indexDir: string;
  runner: RunnerClient;
  /** The run has ended and everything of it was acknowledged. */
  onAllTaken(): void;
  outbox: Outbox;
  identity: Identity;
  now(): number;
}

/** Sends the output of one run, both streams, until it is acknowledged. */
export class RunPublisher {
  readonly #options: PublisherOptions;
  readonly #streams: Record<RunStream, StreamPublisher>;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#streams = { stdout: this.#open("stdout"), stderr: this.#open("stderr") };
  }

  output(stream: RunStream, bytes: number): void {
    this.#streams[stream].available(bytes);
  }

  /**
   * Answers the numbers of chunks, for `finished`. With `markersLater` the markers of the ends wait for `releaseMarkers`:
   * a receiver who is told the numbers needs none, and is told sooner.
   */
  end(
    end: Pick<RunEnd, "stdout_bytes" | "stderr_bytes">,
    markersLater = false,
  ): { stdout_chunks: number; stderr_chunks: number } {
    const { stdout, stderr } = this.#streams;
    return {
      stdout_chunks: stdout.end(end.stdout_bytes, markersLater),
      stderr_chunks: stderr.end(end.stderr_bytes, markersLater),
    };
  }

  releaseMarkers(): void {
    this.#streams.stdout.releaseMarker();
    this.#streams.stderr.releaseMarker();
  }

  ack(stream: RunStream, next_seq: number, window_bytes: number): void {
    this.#streams[stream].ack(next_seq, window_bytes);
    if (this.done) this.#options.onAllTaken();
  }

  resume(stream: RunStream, from_seq: number): void {
    this.#streams[stream].resume(from_seq);
  }

  async settled(): Promise<void> {
    await Promise.all([this.#streams.stdout.settled(), this.#streams.stderr.settled()]);
  }

  /** Resolves once all was taken, ends included; never where it is closed before. */
  async taken(): Promise<void> {
    await Promise.all([this.#streams.stdout.taken, this.#streams.stderr.taken]);
  }

  get done(): boolean {
    return this.#streams.stdout.done && this.#streams.stderr.done;
  }

  close(): void {
    this.#streams.stdout.close();
    this.#streams.stderr.close();
  }

  #open(stream: RunStream): StreamPublisher {
    const { invocation_id, run_id, runner, reply, indexDir, now } = this.#options;
    return new StreamPublisher({
      invocation_id,
      stream,
      index: new ChunkIndex(join(indexDir, `${run_id}.${stream}`)),
      read: (offset, length) => runner.read(run_id, stream, offset, length),
      send: (content) => this.#send(content),
      acknowledged: reply !== null,
      ...(reply === null ? { gatherMs: TIMELINE_GATHER_MS } : {}),
      now,
      elapsed: () => performance.now(),
    });
  }

  #send(content: object): Promise<void> {
    const { identity, outbox, reply, room_id } = this.#options;
    const signed = identity.sign(room_id, EventTypes.streamChunk, content);
    const message: Outgoing = reply
      ? { kind: "to_device", room_id, ...reply, type: EventTypes.streamChunk, content: signed }
      : { kind: "event", room_id, type: EventTypes.streamChunk, content: signed };
    return new Promise((resolve, reject) => {
      outbox.enqueue(message, {
        volatile: true,
        onSent: (outcome) => (outcome.ok ? resolve() : reject(outcome.error)),
      });
    });
  }
}

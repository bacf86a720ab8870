import { join } from "node:path";
import { EventTypes, parseContent } from "@mx-agent/protocol";
import type { RunnerClient, RunState } from "@mx-agent/runner";
import type { Logger } from "pino";
import type { IncomingEvent } from "../matrix/api.ts";
import { sendEvent, sendToDevice } from "../publish/answers.ts";
import { ChunkIndex } from "../publish/chunk-index.ts";
import type { RunPublisher } from "../publish/run-publisher.ts";
import { StdinReceiver } from "../publish/stdin-receiver.ts";
import type { Execution } from "../state/executions.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import type { Reply } from "./reply.ts";

/** What the requester may tell a run of his: input, acknowledgements, requests to send again, cancel. */
export class ControlChannel {
  readonly execution: Execution;
  readonly #reply: Reply | null;
  readonly #publisher: RunPublisher;
  readonly #world: ExecutorWorld;
  readonly #cancel: () => Promise<void>;
  readonly #stdin: StdinReceiver;
  readonly #logger: Logger;

  constructor(
    execution: Execution,
    reply: Reply | null,
    publisher: RunPublisher,
    runner: RunnerClient,
    world: ExecutorWorld,
    indexDir: string,
    cancel: () => Promise<void>,
    logger: Logger,
  ) {
    this.#logger = logger;
    this.execution = execution;
    this.#reply = reply;
    this.#publisher = publisher;
    this.#world = world;
    this.#cancel = cancel;
    this.#stdin = new StdinReceiver({
      index: new ChunkIndex(join(indexDir, `${execution.run_id}.stdin`)),
      write: async (offset, data, eof) => {
        await runner.stdin(execution.run_id, offset, data, eof);
      },
      failed: (error) => this.#stdinFailed(error),
      ack: (next_seq, window_bytes) =>
        this.#tell(EventTypes.streamAck, {
          invocation_id: execution.invocation_id,
          stream: "stdin",
          next_seq,
          window_bytes,
        }),
      resume: (from_seq) =>
        this.#tell(EventTypes.streamResume, {
          invocation_id: execution.invocation_id,
          stream: "stdin",
          from_seq,
        }),
    });
  }

  /** The requester's device, which all further messages have to come from. */
  get device_id(): string | null {
    return this.#reply?.device_id ?? null;
  }

  /** A message whose sender, key and signature were verified as the requester's. */
  async take(event: IncomingEvent): Promise<void> {
    switch (event.type) {
      case EventTypes.execStdin: {
        const parsed = parseContent(EventTypes.execStdin, event.content);
        if (!parsed.ok) return;
        // Numbers protect from replay; input without one is the timeline's, and its nonce does.
        if (parsed.value.seq !== undefined) return this.#stdin.push(parsed.value);
        if (event.kind !== "timeline") return;
        const input = parsed.value;
        // Both or neither: what is taken is never taken again, and is missed where it gets lost.
        const admitted = this.#world.db.transaction(() => {
          const how = this.#admit(input);
          if (how === "fresh") this.#stdin.push(input);
          return how;
        });
        // Nobody would notice the hole, and a child that reads on behind it does what nobody asked for.
        if (admitted === "full") await this.#cancel();
        return;
      }
      case EventTypes.streamAck: {
        const parsed = parseContent(EventTypes.streamAck, event.content);
        if (parsed.ok && (parsed.value.stream === "stdout" || parsed.value.stream === "stderr"))
          this.#publisher.ack(parsed.value.stream, parsed.value.next_seq, parsed.value.window_bytes);
        return;
      }
      case EventTypes.streamResume: {
        const parsed = parseContent(EventTypes.streamResume, event.content);
        if (parsed.ok && (parsed.value.stream === "stdout" || parsed.value.stream === "stderr"))
          this.#publisher.resume(parsed.value.stream, parsed.value.from_seq);
        return;
      }
      case EventTypes.execCancel: {
        const parsed = parseContent(EventTypes.execCancel, event.content);
        if (!parsed.ok || this.#admit(parsed.value) === "replayed") return;
        await this.#cancel();
      }
    }
  }

  /** Tells the requester how far his input has come. */
  tellStdin(): void {
    this.#stdin.tell();
  }

  /** A restarted daemon goes on where the child's pipe stands. */
  resumeStdin({ stdin_bytes, stdin_ended }: Pick<RunState, "stdin_bytes" | "stdin_ended">): void {
    if (stdin_ended) this.#stdin.endedBefore();
    else this.#stdin.resumeAt(stdin_bytes);
    // Who numbers his input sends again what is missing. Behind a hole the child does what nobody asked for.
    if (this.#reply === null && this.#stdin.lacks)
      this.#cancel().catch((error: unknown) => this.#stdinFailed(error));
  }

  /** The run takes no more input. */
  close(): void {
    this.#stdin.close();
  }

  #stdinFailed(error: unknown): void {
    const { invocation_id } = this.execution;
    this.#logger.warn(
      { err: error, invocation_id },
      "input could not be handed to its command; trying again",
    );
  }

  /** Control messages carry nonces of their own, so that none works twice. */
  #admit(content: { nonce: string }): "fresh" | "replayed" | "full" {
    const { nonces, now } = this.#world;
    return nonces.admitControl(this.execution.key_id, content.nonce, now());
  }

  #tell(type: string, content: object): void {
    const { room_id } = this.execution;
    if (this.#reply) sendToDevice({ room_id, ...this.#reply }, type, content, this.#world);
    else if (type === EventTypes.execCancelled) sendEvent(room_id, type, content, this.#world);
  }
}

/**
 * Answers a requester who asks what became of an invocation of his: after a restart, after a new login, or because what
 * he would have heard of it got lost (PROTOCOL.md, "To-device events").
 */
import { EventTypes, type InvocationAnswer, parseContent, requestDigest } from "@mx-agent/protocol";
import { shape } from "../admit/checks/shape.ts";
import type { IncomingEvent } from "../matrix/api.ts";
import { sendToDevice } from "../publish/answers.ts";
import { finishedContent } from "../publish/outcome.ts";
import type { Execution } from "../state/executions.ts";
import { eventOf } from "./event-of.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import type { Runs } from "./runs.ts";

type State = InvocationAnswer["state"];

export class Queries {
  readonly #world: ExecutorWorld;
  readonly #runs: Runs;

  constructor(world: ExecutorWorld, runs: Runs) {
    this.#world = world;
    this.#runs = runs;
  }

  /** A query that was verified as the requester's, from whichever of his devices: from now on it is that one. */
  answer(execution: Execution, event: IncomingEvent): void {
    const { nonces, now, executions } = this.#world;
    const parsed = parseContent(EventTypes.invocationQuery, event.content);
    const device_id = parsed.ok ? parsed.value.binding?.device_id : undefined;
    if (!parsed.ok || device_id === undefined) return;
    const { invocation_id, nonce } = parsed.value;
    if (nonces.admitControl(execution.key_id, nonce, now()) !== "fresh") return;
    executions.setReplyDevice(execution.run_id, device_id);
    this.#runs.moveTo(execution.run_id, device_id);
    const to = { room_id: execution.room_id, user_id: execution.sender, device_id };
    const state = stateOf(execution);
    sendToDevice(to, EventTypes.invocationAnswer, { invocation_id, nonce, state }, this.#world);
    if (state === "finished" || state === "cancelled") this.#finishedAgain(execution, to);
    else if (state === "rejected") this.#rejectedAgain(execution, to);
    else this.#runs.control(invocation_id, event.type)?.tellStdin();
  }

  /** A trusted key asks about what we have no record of: it was pruned, or never came. */
  answerUnknown({ room_id, key_id }: { room_id: string; key_id: string }, event: IncomingEvent): void {
    const { nonces, now } = this.#world;
    const parsed = parseContent(EventTypes.invocationQuery, event.content);
    const device_id = parsed.ok ? parsed.value.binding?.device_id : undefined;
    if (!parsed.ok || device_id === undefined) return;
    const { invocation_id, nonce } = parsed.value;
    if (nonces.admitControl(key_id, nonce, now()) !== "fresh") return;
    const to = { room_id, user_id: event.sender, device_id };
    const content = { invocation_id, nonce, state: "unknown" };
    sendToDevice(to, EventTypes.invocationAnswer, content, this.#world);
  }

  #finishedAgain(execution: Execution, to: Parameters<typeof sendToDevice>[0]): void {
    const request = shape(eventOf(execution));
    if (!execution.end || request.kind !== "exec") return;
    const chunks = this.#runs.chunksOf(execution);
    const content = finishedContent(execution, execution.end, chunks, requestDigest(request.content));
    sendToDevice(to, EventTypes.execFinished, content, this.#world);
  }

  #rejectedAgain(execution: Execution, to: Parameters<typeof sendToDevice>[0]): void {
    const request = shape(eventOf(execution));
    if (request.kind !== "exec") return;
    const { invocation_id, reason, end } = execution;
    const content = {
      invocation_id,
      reason: reason ?? (end ? "spawn_failed" : "policy_denied"),
      request_sha256: requestDigest(request.content),
    };
    sendToDevice(to, EventTypes.execRejected, content, this.#world);
  }
}

function stateOf({ state, end }: Execution): State {
  switch (state) {
    case "held":
    case "running":
    case "rejected":
      return state;
    case "received":
    case "admitted":
    case "starting":
      return "accepted";
    case "ended":
      if (end?.outcome === "spawn_failed") return "rejected";
      return end?.outcome === "cancelled" ? "cancelled" : "finished";
  }
}

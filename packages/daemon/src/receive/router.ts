import { decodePublicKey, EventTypes, parseContent } from "@mx-agent/protocol";
import type { Logger } from "pino";
import type { PeerStates } from "../agents/peer-states.ts";
import type { Pings } from "../agents/pings.ts";
import type { AgentRegistry } from "../agents/registry.ts";
import type { Identity } from "../identity.ts";
import type { Guest } from "../invite/guest.ts";
import type { Invites } from "../invite/invites.ts";
import type { IncomingEvent, Rooms } from "../matrix/api.ts";
import type { Caller } from "../request/caller.ts";
import type { Executor } from "../run/executor.ts";
import type { Queries } from "../run/queries.ts";
import { replyOf } from "../run/reply.ts";
import type { Runs } from "../run/runs.ts";
import type { Execution, ExecutionTable } from "../state/executions.ts";
import type { TrustTable } from "../state/trust.ts";
import { isFrom } from "./verify.ts";

export interface RouterParts {
  executor: Executor;
  runs: Runs;
  queries: Queries;
  caller: Caller;
  pings: Pings;
  registry: AgentRegistry;
  invites: Pick<Invites, "onProof">;
  guest: Pick<Guest, "onAnswer">;
  peers: PeerStates;
  executions: ExecutionTable;
  trust: TrustTable;
  identity: Identity;
  rooms: Rooms;
  /** A heartbeat of a peer of the first protocol. */
  heard(room_id: string, agent_id: string, ts: number): void;
  logger: Logger;
}

/** Hands each event of the inbox to the one part that it concerns. */
export class Router {
  readonly #parts: RouterParts;

  constructor(parts: RouterParts) {
    this.#parts = parts;
  }

  async onEvent(event: IncomingEvent): Promise<void> {
    const { executor, caller, pings, registry, peers } = this.#parts;
    if (event.state_key !== undefined) {
      registry.onState(event);
      return peers.onState(event);
    }
    switch (event.type) {
      case EventTypes.execRequest:
      case EventTypes.callRequest:
        // A request is a room's event: to-device needs no common room, and leaves no trace.
        return event.kind === "timeline" ? executor.onRequest(event) : undefined;
      case EventTypes.ping:
      case EventTypes.pong:
        return pings.onEvent(event);
      case EventTypes.inviteProof:
        return this.#parts.invites.onProof(event);
      case EventTypes.inviteAnswer:
        return this.#parts.guest.onAnswer(event);
      case EventTypes.heartbeat:
        return this.#onHeartbeat(event);
      case EventTypes.execStdin:
      case EventTypes.execCancel:
        return this.#toRun(event);
      case EventTypes.invocationQuery:
        return this.#onQuery(event);
      case EventTypes.streamAck:
      case EventTypes.streamResume:
        // A run of ours may be our own request: an acknowledgement of stdin is the caller's, others the run's.
        if (streamOf(event) === "stdin") await caller.answers.onEvent(event);
        else await this.#toRun(event);
        return;
      default:
        await caller.answers.onEvent(event);
    }
  }

  /** What a requester tells his run: it counts only from his user, key and device. */
  async #toRun(event: IncomingEvent): Promise<void> {
    const execution = this.#ofRequester(event, (run) => replyOf(run)?.device_id ?? null);
    if (!execution) return;
    // Only now: it opens the streams of a run that has ended.
    const control = this.#parts.runs.control(execution.invocation_id, event.type);
    if (control) await control.take(event);
    else if (event.type === EventTypes.execCancel) await this.#parts.executor.cancel(execution, event);
  }

  /** After a new login a requester asks from another device: his key's word for it is enough. */
  #onQuery(event: IncomingEvent): void {
    if (event.kind !== "to_device") return;
    const execution = this.#ofRequester(event, () => null);
    if (execution) {
      this.#parts.queries.answer(execution, event);
      return;
    }
    const asker = this.#trustedAsker(event);
    if (asker && !this.#isOwnRun(event, asker.key_id)) this.#parts.queries.answerUnknown(asker, event);
  }

  /**
   * Who may hear that we know nothing of an invocation: a key that is trusted in the room that it names. What others
   * asked for is as unknown to it as what never was.
   */
  #trustedAsker(event: IncomingEvent): { room_id: string; key_id: string } | undefined {
    const parsed = parseContent(EventTypes.invocationQuery, event.content);
    if (!parsed.ok || !parsed.value.binding || !parsed.value.signature) return undefined;
    const { room_id } = parsed.value.binding;
    const { key_id } = parsed.value.signature;
    const { identity, trust, rooms } = this.#parts;
    const { sender: user_id } = event;
    const own = user_id === identity.account.user_id && key_id === identity.key.key_id;
    const entry = own ? undefined : trust.ofKey(room_id, user_id, key_id);
    const public_key = own ? identity.key.publicKey : entry && decodePublicKey(entry.public_key);
    if (!public_key || !rooms.isJoined(room_id, user_id)) return undefined;
    const expected = { room_id, user_id, key_id, public_key, legacy: false, device_id: null };
    return isFrom(event, expected, rooms.get(room_id)?.encrypted ?? false) ? { room_id, key_id } : undefined;
  }

  /** A run of that key which it may not hear of any more is not unknown. */
  #isOwnRun(event: IncomingEvent, key_id: string): boolean {
    const invocation_id = invocationOf(event);
    return (
      invocation_id !== undefined && this.#parts.executions.byInvocation(invocation_id)?.key_id === key_id
    );
  }

  /** The run that an event is about, where its requester sent it; `deviceOf`: from which device, null for any. */
  #ofRequester(
    event: IncomingEvent,
    deviceOf: (execution: Execution) => string | null,
  ): Execution | undefined {
    const invocation_id = invocationOf(event);
    const execution =
      invocation_id === undefined ? undefined : this.#parts.executions.byInvocation(invocation_id);
    if (!execution) return undefined;
    const { identity, trust, rooms } = this.#parts;
    const { room_id, sender: user_id, key_id, requesting_agent } = execution;
    const own = user_id === identity.account.user_id && key_id === identity.key.key_id;
    const entry = trust.find(room_id, requesting_agent, key_id);
    if (!own && entry?.status !== "trusted") return undefined;
    const public_key = own ? identity.key.publicKey : entry && decodePublicKey(entry.public_key);
    if (!public_key || !rooms.isJoined(room_id, user_id)) return undefined;
    const device_id = deviceOf(execution);
    const expected = { room_id, user_id, key_id, public_key, legacy: entry?.legacy ?? false, device_id };
    return isFrom(event, expected, rooms.get(room_id)?.encrypted ?? false) ? execution : undefined;
  }

  #onHeartbeat(event: IncomingEvent): void {
    const parsed = parseContent(EventTypes.heartbeat, event.content);
    if (!parsed.ok || event.room_id === null) return;
    const { agent_id } = parsed.value;
    // Only of agents that are there, and from who wrote them: names alone would fill the memory.
    if (this.#parts.rooms.stateEvent(event.room_id, EventTypes.agent, agent_id)?.sender !== event.sender)
      return;
    this.#parts.heard(event.room_id, agent_id, event.origin_server_ts ?? event.received_ts);
  }
}

function invocationOf(event: IncomingEvent): string | undefined {
  const { content } = event;
  if (typeof content !== "object" || content === null) return undefined;
  const { invocation_id }: { invocation_id?: unknown } = content;
  return typeof invocation_id === "string" ? invocation_id : undefined;
}

function streamOf(event: IncomingEvent): unknown {
  const { content } = event;
  if (typeof content !== "object" || content === null) return undefined;
  const { stream }: { stream?: unknown } = content;
  return stream;
}

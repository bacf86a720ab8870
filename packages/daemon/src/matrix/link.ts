import { mxError } from "@mx-agent/base";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { Method } from "matrix-js-sdk/lib/http-api/method.js";
import type { RoomTable } from "../state/rooms.ts";
import type { Outgoing } from "./api.ts";
import type { Changes } from "./changes.ts";
import type { RateLimitGate } from "./gate.ts";
import type { OutboxLink, Prepared } from "./outbox.ts";
import type { OwnDevice } from "./own-device.ts";
import { type Clock, isRecord } from "./types.ts";

export interface LinkOptions {
  client: MatrixClient;
  rooms: RoomTable;
  gate: RateLimitGate;
  clock: Clock;
  /** Announced after each committed sync. */
  changes: Changes;
  ready: () => Promise<void>;
  encrypt: OutboxLink["encrypt"];
  own: OwnDevice;
}

/** How long a room that we were told of may stay unknown to /sync before a message into it is given up. */
const UNKNOWN_ROOM_MS = 120_000;

/** How the outbox reaches the homeserver (Client-Server API: send, state, sendToDevice). */
export function outboxLink(options: LinkOptions): OutboxLink {
  const { client, gate } = options;
  return {
    encrypt: async (outgoing) => (options.own.is(outgoing) ? null : options.encrypt(outgoing)),
    async admit(outgoing, signal) {
      await abortable(options.ready(), signal);
      if (outgoing.kind === "to_device") return;
      await roomKnown(outgoing.room_id, options, signal);
      await gate.pass("message", signal);
    },
    async send(outgoing, prepared, txn_id, signal) {
      if (options.own.is(outgoing)) {
        await options.own.take(outgoing);
        return null;
      }
      const answer = await client.http.authedRequest<unknown>(
        Method.Put,
        pathOf(outgoing, prepared, txn_id),
        undefined,
        bodyOf(outgoing, prepared),
        { abortSignal: signal, priority: "auto" },
      );
      if (outgoing.kind === "to_device") {
        if (isRecord(answer)) return null;
      } else if (isRecord(answer) && typeof answer.event_id === "string") return answer.event_id;
      throw new Error("the answer does not confirm the message");
    },
  };
}

function pathOf(outgoing: Outgoing, { type }: Prepared, txn_id: string): string {
  const part = encodeURIComponent;
  if (outgoing.kind === "to_device") return `/sendToDevice/${part(type)}/${part(txn_id)}`;
  const room = `/rooms/${part(outgoing.room_id)}`;
  if (outgoing.kind === "state") return `${room}/state/${part(type)}/${part(outgoing.state_key)}`;
  return `${room}/send/${part(type)}/${part(txn_id)}`;
}

function bodyOf(outgoing: Outgoing, { content }: Prepared): Record<string, unknown> {
  if (outgoing.kind !== "to_device") return { ...content };
  return { messages: { [outgoing.user_id]: { [outgoing.device_id]: content } } };
}

/** A room that /sync has not brought may be encrypted without our knowing: nothing is sent into it before. */
async function roomKnown(room_id: string, options: LinkOptions, signal: AbortSignal): Promise<void> {
  const deadline = options.clock() + UNKNOWN_ROOM_MS;
  for (;;) {
    const membership = options.rooms.get(room_id)?.membership;
    if (membership === "join") return;
    const left = deadline - options.clock();
    if (membership === "leave" || left <= 0) {
      throw mxError("MX_NOT_FOUND", { what: "joined room", name: room_id, hint: "join it first" });
    }
    await options.changes.next(signal, left);
  }
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener("abort", abort));
}

import type { TrustEntry } from "@mx-agent/ipc";
import type { Grant, LoadedPolicy, Machine } from "@mx-agent/policy";
import type { OwnAgent } from "../state/own-agents.ts";

/** What the checks may look at. All of it is handed in; none of it is changed by looking, but `replay`. */
export interface World {
  /** Milliseconds since the epoch, never going back (state/clock.ts). */
  now(): number;
  self: { user_id: string; key_id: string; public_key: Uint8Array };
  ownAgent(room_id: string, agent_id: string): OwnAgent | undefined;
  /** The same, and one that the room says another daemon of this user answers for. */
  registeredAgent(room_id: string, agent_id: string): OwnAgent | undefined;
  trusted(room_id: string, agent_id: string, key_id: string): TrustEntry | undefined;
  isJoined(room_id: string, user_id: string): boolean;
  isEncrypted(room_id: string): boolean;
  /** Admits the nonce and claims invocation and request id, durably, in the transaction of this admission. */
  claim(claim: Claim): "fresh" | "replayed" | "full";
  policy: LoadedPolicy;
  machine: Machine;
  /** What it runs under, where it is decided on again while it runs; its files were settled when it was started. */
  under: Grant | null;
  /** Runs of this user in this room now, and his requests in the last minute. */
  running(room_id: string, user_id: string): number;
  requestsInLastMinute(room_id: string, user_id: string): number;
}

export interface Claim {
  key_id: string;
  nonce: string;
  invocation_id: string;
  request_id: string;
  /** Until when the nonce is remembered, milliseconds since the epoch. */
  expires_ts: number;
}

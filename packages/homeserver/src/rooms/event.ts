import type { JsonObject } from "../http/json.ts";

/** An event as the store keeps it. A state event has a state key; a message event has null. */
export interface StoredEvent {
  readonly pos: number;
  readonly eventId: string;
  readonly roomId: string;
  readonly type: string;
  readonly stateKey: string | null;
  readonly sender: string;
  /** Milliseconds since the epoch. */
  readonly ts: number;
  readonly content: JsonObject;
  /** The length of the content as JSON. */
  readonly size: number;
  /** The event that this one redacts. */
  readonly redacts: string | null;
  readonly redactedBy: string | null;
  /** The state event of the same type and key before this one. */
  readonly replacesState: string | null;
  readonly deviceId: string | null;
  readonly txnId: string | null;
}

/** `m.relates_to` of a content, where it has the shape of a relation. */
export function relationOf(content: JsonObject): { relType: string; eventId: string } | undefined {
  const relates = content["m.relates_to"];
  if (typeof relates !== "object" || relates === null) return undefined;
  const { rel_type, event_id } = relates as JsonObject;
  if (typeof rel_type !== "string" || typeof event_id !== "string") return undefined;
  return { relType: rel_type, eventId: event_id };
}

/** The membership that an m.room.member content states. */
export function membershipOf(event: { content: JsonObject } | undefined): string | undefined {
  const value = event?.content.membership;
  return typeof value === "string" ? value : undefined;
}

import { isObject, type JsonObject } from "../http/json.ts";

/** What a redaction leaves of each type's content in room version 11 ("Redactions"). */
const kept: Readonly<Record<string, readonly string[] | "all">> = {
  "m.room.create": "all",
  "m.room.member": ["membership", "join_authorised_via_users_server"],
  "m.room.join_rules": ["join_rule", "allow"],
  "m.room.power_levels": [
    "ban",
    "events",
    "events_default",
    "invite",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
  ],
  "m.room.history_visibility": ["history_visibility"],
  "m.room.redaction": ["redacts"],
};

/** The content of an event of `type` after it was redacted. */
export function redactedContent(type: string, content: JsonObject): JsonObject {
  const keys = Object.hasOwn(kept, type) ? kept[type] : undefined;
  if (keys === "all") return content;
  const entries = (keys ?? []).filter((key) => Object.hasOwn(content, key)).map((key) => [key, content[key]]);
  const invite = content.third_party_invite;
  if (type === "m.room.member" && isObject(invite) && invite.signed !== undefined) {
    entries.push(["third_party_invite", { signed: invite.signed }]);
  }
  return Object.fromEntries(entries);
}

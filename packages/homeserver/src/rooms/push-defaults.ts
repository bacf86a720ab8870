import type { JsonObject } from "../http/json.ts";

const notify = ["notify", { set_tweak: "sound", value: "default" }, { set_tweak: "highlight", value: false }];
const highlight = ["notify", { set_tweak: "sound", value: "default" }, { set_tweak: "highlight" }];
const quiet = ["notify", { set_tweak: "highlight", value: false }];

const rule = (ruleId: string, conditions: object[], actions: unknown[], enabled = true) => ({
  rule_id: ruleId,
  default: true,
  enabled,
  conditions,
  actions,
});

const match = (key: string, pattern: string) => ({ kind: "event_match", key, pattern });
const is = (key: string, value: unknown) => ({ kind: "event_property_is", key, value });
const oneToOne = { kind: "room_member_count", is: "2" };

/** The rules that every account starts with ("Predefined Rules"). */
export function defaultPushRules(userId: string): JsonObject {
  const localpart = userId.slice(1, userId.indexOf(":"));
  return {
    override: [
      rule(".m.rule.master", [], [], false),
      rule(".m.rule.suppress_notices", [match("content.msgtype", "m.notice")], []),
      rule(
        ".m.rule.invite_for_me",
        [match("type", "m.room.member"), match("content.membership", "invite"), match("state_key", userId)],
        notify,
      ),
      rule(".m.rule.member_event", [match("type", "m.room.member")], []),
      rule(
        ".m.rule.is_user_mention",
        [{ kind: "event_property_contains", key: "content.m\\.mentions.user_ids", value: userId }],
        highlight,
      ),
      rule(".m.rule.contains_display_name", [{ kind: "contains_display_name" }], highlight),
      rule(
        ".m.rule.is_room_mention",
        [is("content.m\\.mentions.room", true), { kind: "sender_notification_permission", key: "room" }],
        ["notify", { set_tweak: "highlight" }],
      ),
      rule(
        ".m.rule.roomnotif",
        [match("content.body", "@room"), { kind: "sender_notification_permission", key: "room" }],
        ["notify", { set_tweak: "highlight" }],
      ),
      rule(
        ".m.rule.tombstone",
        [match("type", "m.room.tombstone"), match("state_key", "")],
        ["notify", { set_tweak: "highlight" }],
      ),
      rule(".m.rule.reaction", [match("type", "m.reaction")], []),
      rule(".m.rule.room.server_acl", [match("type", "m.room.server_acl"), match("state_key", "")], []),
      rule(".m.rule.suppress_edits", [is("content.m\\.relates_to.rel_type", "m.replace")], []),
    ],
    content: [
      {
        rule_id: ".m.rule.contains_user_name",
        default: true,
        enabled: true,
        pattern: localpart,
        actions: highlight,
      },
    ],
    room: [],
    sender: [],
    underride: [
      rule(
        ".m.rule.call",
        [match("type", "m.call.invite")],
        ["notify", { set_tweak: "sound", value: "ring" }, { set_tweak: "highlight", value: false }],
      ),
      rule(".m.rule.encrypted_room_one_to_one", [oneToOne, match("type", "m.room.encrypted")], notify),
      rule(".m.rule.room_one_to_one", [oneToOne, match("type", "m.room.message")], notify),
      rule(".m.rule.message", [match("type", "m.room.message")], quiet),
      rule(".m.rule.encrypted", [match("type", "m.room.encrypted")], quiet),
    ],
  };
}

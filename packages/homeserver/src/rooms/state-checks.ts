import type { App } from "../app.ts";
import { badJson, invalidParam, MatrixError } from "../http/errors.ts";
import type { JsonObject } from "../http/json.ts";
import { checkShape } from "./auth-power-levels.ts";
import { isRoomAlias, isUserId } from "./ids.ts";
import { requireLocal } from "./membership.ts";

const memberships: ReadonlySet<unknown> = new Set(["join", "invite", "knock", "leave", "ban"]);

/** What a state event's content must be beyond the authorisation rules (M_BAD_JSON, M_BAD_ALIAS). */
export function checkStateContent(
  app: App,
  roomId: string,
  type: string,
  stateKey: string,
  content: JsonObject,
): void {
  if (type === "m.room.member") {
    if (!isUserId(stateKey)) throw invalidParam(`${stateKey} is not a user id`);
    if (!memberships.has(content.membership)) throw badJson("m.room.member needs a membership");
    if (content.membership === "invite") requireLocal(app, stateKey);
  }
  if (type === "m.room.power_levels") {
    const malformed = checkShape(content);
    if (malformed?.allowed === false) throw badJson(malformed.reason);
  }
  if (type === "m.room.canonical_alias") checkCanonicalAlias(app, roomId, content);
}

/** An alias that a room claims must lead to it ("m.room.canonical_alias"). */
function checkCanonicalAlias(app: App, roomId: string, content: JsonObject): void {
  const before = app.store.events.state(roomId, "m.room.canonical_alias", "")?.content ?? {};
  const known = new Set(aliasesOf(before));
  for (const alias of aliasesOf(content)) {
    if (typeof alias !== "string" || !isRoomAlias(alias)) {
      throw new MatrixError(400, "M_INVALID_PARAM", `${String(alias)} is not a room alias`);
    }
    if (known.has(alias)) continue;
    if (app.store.rooms.alias(alias)?.room_id !== roomId) {
      throw new MatrixError(400, "M_BAD_ALIAS", `${alias} does not lead to this room`);
    }
  }
}

function aliasesOf(content: JsonObject): unknown[] {
  const { alias, alt_aliases: others } = content;
  if (others !== undefined && !Array.isArray(others)) throw badJson("alt_aliases must be an array");
  return [...(alias === undefined || alias === null || alias === "" ? [] : [alias]), ...(others ?? [])];
}

import type { InviteInfo } from "@mx-agent/ipc";
import { decodePublicKey, fingerprintOf, type InviteLink } from "@mx-agent/protocol/core";
import { pairs, table } from "./table.ts";

export function renderInvites(invites: readonly InviteInfo[], columns: number): string {
  if (invites.length === 0) return "no invitations";
  return table(
    ["INVITATION", "STATE", "USED", "ROLE", "EXPIRES", "ROOM", "BY"],
    invites.map((one) => [
      one.invite_id,
      one.state,
      `${one.used} of ${one.uses}`,
      one.role,
      one.expires_at,
      one.room_id,
      one.used_by.map(({ user_id, agent_id }) => `${agent_id} (${user_id})`).join(", "),
    ]),
    columns,
  );
}

/** What a guest sees before he is asked. */
export function renderLink(link: InviteLink): string {
  const key = decodePublicKey(link.public_key);
  return pairs([
    ["homeserver", link.homeserver],
    ["workspace", `${link.room_name} (${link.room_id})`],
    ["encrypted", link.encrypted ? "yes" : "no: the homeserver can read it"],
    ["invited by", `${link.agent_id} of ${link.user_id}`],
    ["its fingerprint", key ? fingerprintOf(key) : "none"],
    ["as", link.role],
    ["until", link.expires_at],
  ]);
}

/** The line to type on the other machine; a link has nothing that a shell would read. */
export const joinLine = (link: string) => `  mx-agent join ${link}`;

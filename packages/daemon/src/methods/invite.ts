import { hostname } from "node:os";
import { mxError } from "@mx-agent/base";
import type { Handlers, InviteInfo, MethodName } from "@mx-agent/ipc";
import {
  decodePublicKey,
  defaultAgentId,
  fingerprintOf,
  inviteRoles,
  isAgentId,
  readInviteLink,
} from "@mx-agent/protocol";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import type { Invite } from "../state/invites.ts";
import { agent, parser, room, timer_ms } from "./params.ts";

type Names = Extract<MethodName, `invite.${string}`>;

const MAX_USES = 1_000;
const MAX_LIFE_MS = 30 * 24 * 3_600_000;

const createParams = z.strictObject({
  room,
  role: z.enum(inviteRoles),
  uses: z.int().min(1).max(MAX_USES, `at most ${MAX_USES} uses`),
  expires_ms: z.int().min(1).max(MAX_LIFE_MS, "at most 30 days"),
  homeserver: z.url({ protocol: /^https?$/ }).nullable(),
  registration_token: z.string().min(1).max(200).nullable(),
});
const one = z.strictObject({ invite_id: z.string().min(1).max(255) });
const redeemParams = z.strictObject({
  link: z.string().min(1).max(16_384),
  agent: agent.nullable(),
  encrypted: z.boolean(),
  wait_ms: timer_ms,
});

export function inviteMethods(daemon: Daemon): Pick<Handlers, Names> {
  const here = () => daemon.requireOnline();
  const infoOf = (invite: Invite): InviteInfo => ({
    invite_id: invite.invite_id,
    room_id: invite.room_id,
    role: invite.role,
    uses: invite.uses,
    used: invite.used,
    state: stateOf(invite, daemon.now()),
    created_at: new Date(invite.created_ts).toISOString(),
    expires_at: new Date(invite.expires_ts).toISOString(),
    used_by: daemon.tables.invites
      .redemptions(invite.invite_id)
      .map(({ user_id, agent_id, redeemed_ts }) => ({
        user_id,
        agent_id,
        at: new Date(redeemed_ts).toISOString(),
      })),
  });
  return {
    "invite.create": {
      parse: parser(createParams),
      handle: async (params) => {
        const invite = await here().invites.create(params);
        return { ...infoOf(invite), link: invite.link };
      },
    },
    "invite.list": {
      parse: parser(z.strictObject({ room: room.nullable() })),
      handle: async (params) => {
        const room_id =
          params.room === null ? null : (await here().session.rooms.resolve(params.room)).room_id;
        return daemon.tables.invites.list(room_id).map(infoOf);
      },
    },
    "invite.show": {
      parse: parser(one),
      handle: async ({ invite_id }) => {
        const invite = here().invites.find(invite_id);
        return { ...infoOf(invite), link: invite.link };
      },
    },
    "invite.revoke": {
      parse: parser(one),
      handle: async ({ invite_id }) => infoOf(here().invites.revoke(invite_id)),
    },
    "invite.redeem": {
      parse: parser(redeemParams),
      handle: async ({ link: text, agent: wanted, encrypted, wait_ms }, { signal }) => {
        const online = here();
        const read = readInviteLink(text);
        if (!read.ok)
          throw mxError("MX_BAD_INPUT", { detail: `the link cannot be used: ${read.detail}`, hint: "" });
        const { link } = read;
        if (Date.parse(link.expires_at) <= daemon.now())
          throw mxError("MX_INVITE_REFUSED", {
            agent: link.agent_id,
            reason: "expired",
            detail: `the invitation expired at ${link.expires_at}`,
            hint: `ask for another link; on ${link.agent_id}'s machine: \`mx-agent invite create\``,
          });
        const agent_id = wanted ?? defaultAgentId(hostname());
        if (!isAgentId(agent_id))
          throw mxError("MX_USAGE", { detail: `${agent_id} cannot be an agent's name`, command: "join" });
        const changed = await online.guest.redeem({ link, agent_id, encrypted, wait_ms, signal });
        const key = decodePublicKey(link.public_key) ?? new Uint8Array();
        return {
          room_id: link.room_id,
          role: link.role,
          agent_id,
          changed,
          inviter: { agent_id: link.agent_id, user_id: link.user_id, fingerprint: fingerprintOf(key) },
        };
      },
    },
  };
}

function stateOf(invite: Invite, now: number): InviteInfo["state"] {
  if (invite.revoked_ts !== null) return "revoked";
  if (invite.used >= invite.uses) return "used";
  return invite.expires_ts <= now ? "expired" : "open";
}

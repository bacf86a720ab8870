import { mxError } from "@mx-agent/base";
import type { AgentInfo, Handlers, MethodName, TrustEntry } from "@mx-agent/ipc";
import { encodePublicKey, fingerprintOf } from "@mx-agent/protocol";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import type { AnnouncedKey } from "../trust/announced.ts";
import { agent, nothing, parser, room, target, time } from "./params.ts";

type Names = Extract<MethodName, `trust.${string}`>;

const approveParams = target.extend({
  fingerprint: z.string().min(1),
  expires_at: time.nullable(),
  legacy: z.boolean(),
  device_fingerprint: z.string().min(1).max(255).exactOptional(),
});
const revokeParams = z.strictObject({
  room: room.nullable(),
  agent: agent.nullable(),
  fingerprint: z.string().min(1).nullable(),
});

export function trustMethods(daemon: Daemon): Pick<Handlers, Names> {
  const here = () => daemon.requireOnline();
  const inspect = async (name: { room: string; agent: string }) => {
    const { session, directory } = here();
    const { room_id } = await session.rooms.resolve(name.room);
    const info = directory.find(room_id, name.agent);
    const key = directory.publicKey(room_id, name.agent);
    if (!key)
      throw mxError("MX_BAD_INPUT", {
        detail: `the state of ${name.agent} carries no public key that fits its key id`,
        hint: "its operator registers it again with `mx-agent agent register`",
      });
    const announced = directory.announced(room_id, name.agent);
    return { info, key, announced, approved: daemon.tables.trust.current(room_id, name.agent) ?? null };
  };
  /** The key before goes on counting until the new one is used; and with it until when it is approved. */
  const approveAnnounced = (info: AgentInfo, next: AnnouncedKey, params: z.infer<typeof approveParams>) => {
    const { room_id, agent_id } = info;
    const { user_id, key_id, fingerprint, public_key } = next;
    const entry = {
      ...{ room_id, agent_id, user_id, key_id, fingerprint, public_key },
      legacy: false,
      approved_at: new Date(daemon.now()).toISOString(),
      expires_at: params.expires_at ?? next.expires_at,
    };
    daemon.audit.trust("approved", entry);
    return daemon.tables.trust.approve(entry, next.from_key_id);
  };
  return {
    "trust.fingerprint": {
      parse: parser(nothing),
      handle: async () => {
        const { key, account } = here().identity;
        const { key_id, fingerprint, publicKey } = key;
        return { key_id, fingerprint, public_key: encodePublicKey(publicKey), user_id: account.user_id };
      },
    },
    "trust.list": {
      parse: parser(z.strictObject({ room: room.nullable() })),
      handle: async (params) => {
        const room_id = params.room === null ? null : (await daemon.rooms.resolve(params.room)).room_id;
        return daemon.tables.trust.list(room_id);
      },
    },
    "trust.inspect": {
      parse: parser(target),
      handle: async (params) => {
        const { info, key, approved } = await inspect(params);
        const { devices } = here().session.keys;
        const known = await devices.list([info.user_id]).catch(() => []);
        const device = known.find(({ device_id }) => device_id === info.device_id) ?? null;
        return { agent: info, public_key: encodePublicKey(key), approved, device };
      },
    },
    "trust.approve": {
      parse: parser(approveParams),
      handle: async (params) => {
        const { info, key, announced } = await inspect(params);
        if (announced && !announced.in_use && params.fingerprint === announced.fingerprint)
          return approveAnnounced(info, announced, params);
        if (fingerprintOf(key) !== params.fingerprint)
          throw mxError("MX_BAD_INPUT", {
            detail: `${info.agent_id} shows ${fingerprintOf(key)}, not ${params.fingerprint}; nothing was approved`,
            hint: "compare with `mx-agent trust fingerprint` on its machine, over a line that you trust",
          });
        // Somebody else's key, shown as his own, would pass the comparison: he has to show that he has it.
        if (!params.legacy && !here().directory.vouchesForItself(info.room_id, info.agent_id))
          throw mxError("MX_BAD_INPUT", {
            detail: `the state of ${info.agent_id} is not written and signed by ${info.user_id} with that key; nothing was approved`,
            hint: "its operator registers it again with `mx-agent agent register`; a daemon of the first protocol needs --legacy",
          });
        if (params.device_fingerprint !== undefined) {
          const { devices } = here().session.keys;
          const device = await devices.verify(info.user_id, info.device_id, params.device_fingerprint);
          daemon.audit.device("verified", "fingerprint", device);
        }
        const entry = {
          room_id: info.room_id,
          agent_id: info.agent_id,
          user_id: info.user_id,
          key_id: info.key_id,
          fingerprint: params.fingerprint,
          public_key: encodePublicKey(key),
          legacy: params.legacy,
          approved_at: new Date(daemon.now()).toISOString(),
          expires_at: params.expires_at,
        };
        daemon.audit.trust("approved", entry);
        const approved = daemon.tables.trust.approve(entry);
        here().peers.read(entry.room_id, entry.agent_id);
        return approved;
      },
    },
    "trust.rotate": {
      parse: parser(z.strictObject({ step: z.enum(["announce", "finish", "abandon"]), force: z.boolean() })),
      handle: (params) => daemon.rotate(params),
    },
    "trust.revoke": {
      parse: parser(revokeParams),
      handle: async (params) => {
        if (params.agent === null && params.fingerprint === null)
          throw mxError("MX_USAGE", { detail: "name an agent or a fingerprint", command: "trust revoke" });
        const room_id = params.room === null ? null : (await daemon.rooms.resolve(params.room)).room_id;
        const revoked = daemon.tables.trust.revoke({
          room_id,
          agent_id: params.agent,
          fingerprint: params.fingerprint,
        });
        if (revoked.length === 0)
          throw mxError("MX_NOT_FOUND", {
            what: "approved key",
            name: params.agent ?? params.fingerprint ?? "",
            hint: "`mx-agent trust list`",
          });
        for (const entry of revoked) daemon.audit.trust("revoked", entry);
        // It holds without a session as well: whoever has logged out has not given up deciding whom he trusts.
        daemon.revocations.check();
        return { revoked, still_members: stillMembers(revoked) };
      },
    },
  };

  /** Those of them who are to read nothing more, and are in the room, as far as that can be known. */
  function stillMembers(revoked: readonly TrustEntry[]) {
    if (daemon.online === undefined) return [];
    const { rooms, account } = daemon.online.session;
    const rest = revoked.filter(
      ({ room_id, user_id }) =>
        user_id !== account.user_id &&
        rooms.isJoined(room_id, user_id) &&
        daemon.tables.trust.revokedUsers(room_id).has(user_id),
    );
    const members = new Map(
      rest.map(({ room_id, user_id }) => [`${room_id} ${user_id}`, { room_id, user_id }]),
    );
    return [...members.values()];
  }
}

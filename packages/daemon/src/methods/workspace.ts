import { setTimeout as pause } from "node:timers/promises";
import { mxError } from "@mx-agent/base";
import type { Handlers, MethodName } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import { attach } from "../workspace/attach.ts";
import { nothing, parser, room, userId } from "./params.ts";

type Names = Extract<MethodName, `workspace.${string}`>;

const createParams = z.strictObject({
  name: z.string().min(1).max(255),
  alias: z.string().min(1).nullable(),
  invite: z.array(userId),
  encrypted: z.boolean(),
});
const joinParams = z.strictObject({ room, encrypted: z.boolean(), via: z.array(z.string().min(1)) });
const WATCH_MS = 2_000;

export function workspaceMethods(daemon: Daemon): Pick<Handlers, Names> {
  const here = () => daemon.requireOnline();
  const overview = async (name: string) => {
    const { workspaces, directory } = here();
    const workspace = await workspaces.info(name);
    return {
      workspace,
      members: await workspaces.members(workspace.room_id),
      agents: directory.list(workspace.room_id),
    };
  };
  return {
    "workspace.create": { parse: parser(createParams), handle: (params) => here().workspaces.create(params) },
    "workspace.list": { parse: parser(nothing), handle: () => here().workspaces.list() },
    "workspace.invite": {
      parse: parser(z.strictObject({ room, user: userId })),
      handle: async (params) => {
        const { room_id } = await here().session.rooms.resolve(params.room);
        await here().session.invite(room_id, params.user);
        return { room_id, user_id: params.user };
      },
    },
    "workspace.join": {
      parse: parser(joinParams),
      handle: (params) => here().workspaces.join(params.room, params.encrypted, params.via),
    },
    "workspace.accept": {
      parse: parser(z.strictObject({ room, encrypted: z.boolean() })),
      handle: (params) => here().workspaces.accept(params.room, params.encrypted),
    },
    "workspace.remove": {
      parse: parser(z.strictObject({ room, user: userId })),
      handle: async (params) => {
        const { room_id } = await here().session.rooms.resolve(params.room);
        await here().session.remove(room_id, params.user);
        return { room_id, user_id: params.user };
      },
    },
    "workspace.keys": {
      parse: parser(z.strictObject({ room, to: z.enum(["all", "signed", "auto"]).nullable() })),
      handle: async (params) => {
        const { rooms, keys } = here().session;
        const { room_id, encrypted } = await rooms.resolve(params.room);
        if (!encrypted)
          throw mxError("MX_BAD_INPUT", {
            detail: `${params.room} is not encrypted: there are no keys`,
            hint: "whoever is in it reads it, and so does the homeserver",
          });
        if (params.to !== null) await keys.recipients.set(room_id, params.to);
        const without = await keys.recipients.without(room_id);
        return { room_id, keys_to: keys.recipients.keysTo(room_id), without };
      },
    },
    "workspace.leave": {
      parse: parser(z.strictObject({ room })),
      handle: async (params) => {
        const { session, registry } = here();
        const { room_id } = await session.rooms.resolve(params.room);
        for (const agent of daemon.tables.ownAgents.registered(room_id)) registry.unregister(agent);
        await session.outbox.drained();
        await session.leave(room_id);
        return { room_id };
      },
    },
    "workspace.members": {
      parse: parser(z.strictObject({ room })),
      handle: (params) => here().workspaces.members(params.room),
    },
    "workspace.grant": {
      parse: parser(z.strictObject({ room, user: userId, power_level: z.int() })),
      handle: async (params) => {
        const { room_id } = await here().session.rooms.resolve(params.room);
        await here().session.setPowerLevel(room_id, params.user, params.power_level);
        return { room_id, user_id: params.user, power_level: params.power_level };
      },
    },
    "workspace.status": {
      parse: parser(z.strictObject({ room, watch: z.boolean() })),
      handle: async (params, { send, signal }) => {
        let shown = "";
        while (params.watch && !signal.aborted) {
          const now = await overview(params.room);
          const text = JSON.stringify(now);
          if (text !== shown) await send(now);
          shown = text;
          await pause(WATCH_MS, undefined, { signal }).catch(() => {});
        }
        return overview(params.room);
      },
    },
    "workspace.attach": {
      parse: parser(z.strictObject({ room, path: z.string().min(1) })),
      handle: (params) => attach(params, here(), daemon.now),
    },
    "workspace.upgrade": {
      parse: parser(z.strictObject({ room })),
      handle: (params) => here().workspaces.upgrade(params.room),
    },
  };
}

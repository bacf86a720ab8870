import type { CallContext, Handlers, MethodName, Params } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import type { Comparison, OtherDevice } from "../matrix/keys/verification.ts";
import { parser, room, userId } from "./params.ts";

type Names = Extract<MethodName, `device.${string}`>;

const device = z.string().min(1).max(255);

export function deviceMethods(daemon: Daemon): Pick<Handlers, Names> {
  const session = () => daemon.requireOnline().session;
  return {
    "device.list": {
      parse: parser(z.strictObject({ user: userId.nullable(), room: room.nullable() })),
      handle: async ({ user, room }) => {
        const { keys } = session();
        const users = user !== null ? [user] : await usersOf(room);
        return { devices: await keys.devices.list(users), requests: keys.verifications.pending() };
      },
    },
    "device.show": {
      parse: parser(z.strictObject({ user: userId.nullable(), device: device.nullable() })),
      handle: ({ user, device }) => {
        const { keys, account } = session();
        return user === null && device === null
          ? keys.devices.find(account.user_id, account.device_id)
          : keys.devices.find(user ?? account.user_id, device);
      },
    },
    "device.verify": {
      parse: parser(
        z.strictObject({ user: userId, device: device.nullable(), fingerprint: z.string().min(1).max(255) }),
      ),
      handle: async ({ user, device, fingerprint }) => {
        const verified = await session().keys.devices.verify(user, device, fingerprint);
        daemon.audit.device("verified", "fingerprint", verified);
        return verified;
      },
    },
    "device.unverify": {
      parse: parser(z.strictObject({ user: userId, device: device.nullable() })),
      handle: async ({ user, device }) => {
        const unverified = await session().keys.devices.unverify(user, device);
        daemon.audit.device("unverified", "fingerprint", unverified);
        return unverified;
      },
    },
    "device.compare": {
      parse: parser(
        z.strictObject({
          user: userId.nullable(),
          device: device.nullable(),
          accept: z.boolean(),
          room: room.exactOptional(),
        }),
      ),
      parseInput: parser(z.strictObject({ matches: z.boolean() })),
      handle: async (params, context) => {
        const { devices } = session().keys;
        const comparison = {
          signal: context.signal,
          onStage: context.send,
          answer: () => firstAnswer(context.input),
        };
        const other = await compared(params, comparison);
        const verified = await devices.find(other.user_id, other.device_id);
        daemon.audit.device("verified", "comparison", verified);
        return verified;
      },
    },
  };

  async function compared(
    { user, device, accept, room }: Params<"device.compare">,
    comparison: Comparison,
  ): Promise<OtherDevice> {
    const { keys, account, rooms } = session();
    if (accept) return keys.verifications.accept(user, device, comparison);
    const whom = user ?? account.user_id;
    if (room !== undefined) {
      const { room_id } = await rooms.resolve(room);
      return keys.verifications.startInRoom(whom, room_id, comparison);
    }
    const other = await keys.devices.find(whom, device);
    await keys.verifications.start(other.user_id, other.device_id, comparison);
    return other;
  }

  async function usersOf(name: string | null): Promise<string[]> {
    const { rooms, account } = session();
    if (name === null) return [account.user_id];
    const { room_id } = await rooms.resolve(name);
    const members = await rooms.members(room_id);
    return members.filter(({ membership }) => membership === "join").map(({ user_id }) => user_id);
  }
}

/** Nothing said is a no. */
async function firstAnswer(input: CallContext<"device.compare">["input"]): Promise<boolean> {
  for await (const { matches } of input) return matches;
  return false;
}

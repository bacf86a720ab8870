import type { Handlers, MethodName } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import { agent, parser, room } from "./params.ts";

type Names = Extract<MethodName, `audit.${string}`>;

const head = z.strictObject({
  seq: z.int().positive(),
  sha256: z.string().regex(/^[A-Za-z0-9+/]{43}=$/, "SHA-256 in base64: 44 characters"),
  key_id: z.string().nullable(),
});

export function auditMethods(daemon: Daemon): Pick<Handlers, Names> {
  const { log } = daemon;
  return {
    "audit.tail": {
      parse: parser(z.strictObject({ lines: z.int().nonnegative().max(100_000), follow: z.boolean() })),
      handle: async ({ lines, follow }, { send, signal }) => {
        let last_seq = 0;
        for (const line of log.tail(lines)) {
          last_seq = line.seq;
          await send(line);
        }
        if (follow)
          await new Promise<void>((resolve) => {
            const end = () => {
              stop();
              resolve();
            };
            const stop = log.follow((line) => {
              last_seq = line.seq;
              // Fails when the reader is gone.
              send(line).catch(end);
            });
            signal.addEventListener("abort", end, { once: true });
          });
        return { last_seq };
      },
    },
    "audit.show": {
      parse: parser(z.strictObject({ invocation_id: z.string().min(1).max(255) })),
      handle: async ({ invocation_id }) => log.show(invocation_id),
    },
    "audit.verify": {
      parse: parser(z.strictObject({ file: z.string().nullable(), heads: z.array(head).max(100_000) })),
      handle: ({ file, heads }) => log.verify(file, heads),
    },
    "audit.heads": {
      parse: parser(z.strictObject({ room: room.nullable(), agent: agent.nullable() })),
      handle: async (params) => {
        const room_id =
          params.room === null
            ? null
            : (await daemon.requireOnline().session.rooms.resolve(params.room)).room_id;
        return daemon.tables.peerHeads
          .list(room_id, params.agent)
          .map(({ published_ts: _, seen_ts, ...one }) => ({
            ...one,
            seen_at: new Date(seen_ts).toISOString(),
          }));
      },
    },
  };
}

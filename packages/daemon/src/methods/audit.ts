import type { Handlers } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import { parser } from "./params.ts";

export function auditMethods(daemon: Daemon): Pick<Handlers, "audit.tail" | "audit.show" | "audit.verify"> {
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
      parse: parser(z.strictObject({ file: z.string().nullable() })),
      handle: ({ file }) => log.verify(file),
    },
  };
}

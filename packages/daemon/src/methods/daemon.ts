import type { Handlers } from "@mx-agent/ipc";
import type { Daemon } from "../daemon.ts";
import { diagnose } from "../diagnose.ts";
import { nothing, parser } from "./params.ts";

type Names = "daemon.status" | "daemon.diagnose" | "daemon.stop" | "daemon.reload";

export function daemonMethods(daemon: Daemon): Pick<Handlers, Names> {
  return {
    "daemon.status": { parse: parser(nothing), handle: async () => daemon.status() },
    "daemon.diagnose": { parse: parser(nothing), handle: () => diagnose(daemon) },
    "daemon.stop": {
      parse: parser(nothing),
      handle: async () => {
        daemon.stopSoon();
        return { pid: process.pid };
      },
    },
    "daemon.reload": {
      parse: parser(nothing),
      handle: async () => {
        daemon.policy.reload();
        return { policy: daemon.status().policy };
      },
    },
  };
}

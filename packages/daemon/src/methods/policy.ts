import { mxError } from "@mx-agent/base";
import type { Handlers } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import { agent, parser, room, userId } from "./params.ts";

const explainParams = z.union([
  z.strictObject({ request_id: z.string().min(1).max(255) }),
  z.strictObject({
    room,
    user: userId,
    agent: agent.nullable(),
    command: z.array(z.string()),
    cwd: z.string().nullable(),
    env: z.array(z.string()),
    tool: z.string().nullable(),
  }),
]);

export function policyMethods(daemon: Daemon): Pick<Handlers, "policy.explain"> {
  return {
    "policy.explain": {
      parse: parser(explainParams),
      handle: async (params) => {
        const { executor, session } = daemon.requireOnline();
        if ("request_id" in params) {
          const { executions } = daemon.tables;
          const execution =
            executions.byRequest(params.request_id) ?? executions.byInvocation(params.request_id);
          if (execution) return executor.explain(execution);
          throw mxError("MX_NOT_FOUND", {
            what: "recorded request",
            name: params.request_id,
            hint: "only requests with a verified signature are recorded, on the machine that was asked; `mx-agent audit tail` there shows the rest",
          });
        }
        const { room_id } = await session.rooms.resolve(params.room);
        return executor.explainImagined({ ...params, room_id });
      },
    },
  };
}

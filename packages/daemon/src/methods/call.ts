import { mxError } from "@mx-agent/base";
import type { CallResult, Handlers, ToolInfo } from "@mx-agent/ipc";
import { EventTypes, parseContent } from "@mx-agent/protocol";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import type { Pending, Settled } from "../request/pending.ts";
import { agent, duration_ms, parser, room, target } from "./params.ts";
import { requireKind, waitFor } from "./waiting.ts";

const callParams = target.extend({
  tool: z.string().min(1).max(255),
  args: z.record(z.string(), z.unknown()),
  timeout_ms: duration_ms.nullable(),
});

export function callMethods(daemon: Daemon): Pick<Handlers, "call.run" | "call.resume" | "tools.list"> {
  return {
    "call.run": {
      parse: parser(callParams),
      handle: async (params, { send, signal }) => {
        const online = daemon.requireOnline();
        const pending = online.caller.call(params, await online.target(params), send);
        return resultOf(pending, await waitFor(pending, online, signal));
      },
    },
    "call.resume": {
      parse: parser(z.strictObject({ invocation_id: z.string().min(1).max(255) })),
      handle: async ({ invocation_id }, { signal }) => {
        const online = daemon.requireOnline();
        const request = requireKind(daemon.tables.requests, invocation_id, "call");
        const pending = online.caller.attach(request, async () => {}, "none");
        online.caller.replayOutcome(pending, false);
        return resultOf(pending, await waitFor(pending, online, signal));
      },
    },
    "tools.list": {
      parse: parser(z.strictObject({ room, agent: agent.nullable() })),
      handle: async (params) => {
        const { session } = daemon.requireOnline();
        const { room_id } = await session.rooms.resolve(params.room);
        return session.rooms
          .state(room_id, EventTypes.tool)
          .flatMap((event) => toolOf(event.state_key, event.content))
          .filter((tool) => params.agent === null || tool.agent_id === params.agent);
      },
    },
  };
}

/** The state key is `agent_id|name`; the name is read from the content, and what is before it is the agent. */
function toolOf(state_key: string, content: unknown): ToolInfo[] {
  const parsed = parseContent(EventTypes.tool, content);
  if (!parsed.ok || !state_key.endsWith(`|${parsed.value.name}`)) return [];
  const { name, version, description, input_schema } = parsed.value;
  const agent_id = state_key.slice(0, -name.length - 1);
  return [{ agent_id, name, version, description, input_schema }];
}

function resultOf(pending: Pending, settled: Settled): CallResult {
  const { invocation_id, request_id } = pending.request;
  if (settled.type === "finished")
    throw mxError("MX_PROTOCOL", {
      detail: "a run's end arrived for a call",
      hint: "upgrade the executing side",
    });
  return { ...settled, invocation_id, request_id };
}

import { hostname } from "node:os";
import { mxError, shellWord } from "@mx-agent/base";
import type { AgentInfo, Handlers, MethodName } from "@mx-agent/ipc";
import { AGENT_POWER_LEVEL, defaultAgentId, isAgentId, PING_WAIT_MS } from "@mx-agent/protocol";
import { z } from "zod";
import { agentState } from "../agents/registry.ts";
import type { Daemon } from "../daemon.ts";
import type { Online } from "../online.ts";
import { agent, parser, room, target, timer_ms } from "./params.ts";

type Names = Extract<MethodName, `agent.${string}`>;

const PUBLISHED_WITHIN_MS = 15_000;

const registerParams = z.strictObject({
  room,
  agent: agent.nullable(),
  kind: z.string().min(1).max(64),
  cwd: z.string().nullable(),
  capabilities: z.array(z.string().min(1).max(64)).max(64),
});

export function agentMethods(daemon: Daemon): Pick<Handlers, Names> {
  const here = () => daemon.requireOnline();
  return {
    "agent.register": {
      parse: parser(registerParams),
      handle: async ({ room: name, agent: wanted, kind, cwd, capabilities }) => {
        const online = here();
        const { room_id } = await online.session.rooms.resolve(name);
        const agent_id = wanted ?? defaultAgentId(hostname());
        if (!isAgentId(agent_id))
          throw mxError("MX_USAGE", {
            detail: `${agent_id} cannot be an agent's name`,
            command: "agent register",
          });
        online.workspaces.requireAgreed(room_id);
        refuseTaken(online, room_id, agent_id);
        await requirePower(online, room_id);
        const { state_rev } = online.registry.register({
          room_id,
          agent_id,
          kind,
          cwd: cwd ?? "",
          capabilities,
        });
        return published(online, room_id, agent_id, state_rev);
      },
    },
    "agent.list": {
      parse: parser(z.strictObject({ room: room.nullable(), ping: z.boolean() })),
      handle: async (params) => {
        const online = here();
        const rooms =
          params.room === null ? joined(online) : [(await online.session.rooms.resolve(params.room)).room_id];
        const agents = rooms.flatMap((room_id) => online.directory.list(room_id));
        return params.ping ? Promise.all(agents.map((info) => withLiveness(info, online))) : agents;
      },
    },
    "agent.show": {
      parse: parser(target),
      handle: async (params) => {
        const online = here();
        const { room_id } = await online.session.rooms.resolve(params.room);
        return withLiveness(online.directory.find(room_id, params.agent), online);
      },
    },
    "agent.unregister": {
      parse: parser(target),
      handle: async (params) => {
        const online = here();
        const { room_id } = await online.session.rooms.resolve(params.room);
        const own = daemon.tables.ownAgents.findRegistered(room_id, params.agent);
        if (!own)
          throw mxError("MX_NOT_FOUND", {
            what: "agent of this machine",
            name: params.agent,
            hint: "`mx-agent agent list`",
          });
        online.registry.unregister(own);
        await online.session.outbox.drained();
        return { room_id, agent_id: params.agent };
      },
    },
    "agent.ping": {
      parse: parser(target.extend({ timeout_ms: timer_ms })),
      handle: async (params) => {
        const online = here();
        const { room_id } = await online.session.rooms.resolve(params.room);
        const info = online.directory.find(room_id, params.agent);
        const round_trip_ms = await ping(info, params.timeout_ms, online);
        if (round_trip_ms === null)
          throw mxError(
            "MX_NO_ANSWER",
            { agent: params.agent, room: params.room, seconds: params.timeout_ms / 1000 },
            {
              hint: `on ${params.agent}'s machine: \`mx-agent daemon status\`, and \`mx-agent trust list\`: only approved keys are answered`,
            },
          );
        return { agent_id: info.agent_id, round_trip_ms };
      },
    },
  };
}

/** A name that somebody else's agent has in the room is not taken from him. */
function refuseTaken(online: Online, room_id: string, agent_id: string): void {
  const there = online.directory.list(room_id).find((info) => info.agent_id === agent_id);
  if (!there || there.user_id === online.identity.account.user_id || there.status === "offline") return;
  throw mxError("MX_BAD_INPUT", {
    detail: `the name ${agent_id} belongs to ${there.user_id} in that room`,
    hint: "choose another one: --agent NAME",
  });
}

/** Agent states are written with power 50; without it everything else would fail later, and less clearly. */
async function requirePower(online: Online, room_id: string): Promise<void> {
  const { user_id } = online.identity.account;
  const me = (await online.session.rooms.members(room_id)).find((member) => member.user_id === user_id);
  const power = me?.power_level ?? 0;
  if (power >= AGENT_POWER_LEVEL) return;
  throw mxError(
    "MX_HOMESERVER_ERROR",
    {
      errcode: "M_FORBIDDEN",
      detail: `${user_id} has power ${power} in the room, an agent needs ${AGENT_POWER_LEVEL}`,
    },
    {
      hint: `whoever made the room types: \`mx-agent workspace grant --room ${shellWord(room_id)} ${user_id}\``,
    },
  );
}

/** The agent as the room shows it, once it shows what was just written. */
async function published(
  online: Online,
  room_id: string,
  agent_id: string,
  state_rev: number,
): Promise<AgentInfo> {
  const deadline = performance.now() + PUBLISHED_WITHIN_MS;
  for (let left = PUBLISHED_WITHIN_MS; left > 0; left = deadline - performance.now()) {
    const shown = agentState(online.session.rooms, room_id, agent_id);
    if (shown && shown.state_rev >= state_rev) return online.directory.find(room_id, agent_id);
    await online.session.changed(left);
  }
  throw mxError("MX_HOMESERVER_UNREACHABLE", {
    url: online.identity.account.homeserver,
    detail: "the agent's state has not appeared in the room yet; it is sent as soon as possible",
  });
}

function joined(online: Online): string[] {
  return online.session.rooms
    .list()
    .filter((info) => info.membership === "join")
    .map((info) => info.room_id);
}

async function withLiveness(info: AgentInfo, online: Online): Promise<AgentInfo> {
  if (info.mine || info.status === "offline" || !info.trusted) return info;
  const answered = await ping(info, PING_WAIT_MS, online);
  return answered === null ? info : { ...info, liveness: "active" };
}

/** Asks the agent's device; the answer counts only under the key that is approved here. */
async function ping(info: AgentInfo, timeout_ms: number, online: Online): Promise<number | null> {
  const { key_id, public_key, user_id, legacy, requesting_agent } = await online.target({
    room: info.room_id,
    agent: info.agent_id,
  });
  const { room_id, agent_id, device_id } = info;
  return online.pings.ping(
    { room_id, agent: agent_id, user_id, device_id, key_id, public_key, legacy },
    requesting_agent,
    timeout_ms,
  );
}

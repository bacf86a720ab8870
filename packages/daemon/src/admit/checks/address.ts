import type { OwnAgent } from "../../state/own-agents.ts";
import type { RunRequest } from "../admitted.ts";
import { Silence } from "../refusal.ts";
import type { World } from "../world.ts";

/**
 * Step 3: the request is for an agent of mine in that room, and for my key where it names one: a user may have
 * several daemons, and one of them alone runs it. If not: silence. Of an agent of several daemons the room says which one
 * answers, where the request does not: a homeserver that says it of a daemon that is none silences nobody who is named.
 */
export function address(request: RunRequest, room_id: string, world: World): OwnAgent {
  const { target_agent, target_key_id } = request.content;
  const isNamed = target_key_id === world.self.key_id;
  const find = isNamed ? world.registeredAgent : world.ownAgent;
  const agent = target_agent === undefined ? undefined : find(room_id, target_agent);
  if (!agent) throw new Silence(`for ${target_agent ?? "nobody"}, not an agent of mine`);
  if (target_key_id !== undefined && !isNamed)
    throw new Silence(`for ${agent.agent_id} with the key ${target_key_id}, which is not mine`);
  return agent;
}

/** The agent of a request that was found to be for it before, whether or not it is mine still. */
export function addressed(request: RunRequest, room_id: string, world: World): OwnAgent {
  const agent_id = request.content.target_agent ?? "";
  const gone = { room_id, agent_id, kind: "", cwd: "", capabilities: [], state_rev: 0 };
  return world.ownAgent(room_id, agent_id) ?? gone;
}

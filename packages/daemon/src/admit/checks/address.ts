import type { OwnAgent } from "../../state/own-agents.ts";
import type { RunRequest } from "../admitted.ts";
import { Silence } from "../refusal.ts";
import type { World } from "../world.ts";

/** Step 3: the request is for an agent of mine in that room. If not: silence. */
export function address(request: RunRequest, room_id: string, world: World): OwnAgent {
  const agent =
    request.content.target_agent === undefined
      ? undefined
      : world.ownAgent(room_id, request.content.target_agent);
  if (!agent) throw new Silence(`for ${request.content.target_agent ?? "nobody"}, not an agent of mine`);
  return agent;
}

import type { Grant } from "@mx-agent/policy";
import { Refusal } from "../refusal.ts";
import type { World } from "../world.ts";

/** Step 10, its counts: how many may run at once, and how many a minute. */
export function capacity(grant: Grant, from: { room_id: string; sender: string }, world: World): void {
  const running = world.running(from.room_id, from.sender);
  if (running >= grant.max_concurrent)
    throw new Refusal(
      "over_capacity",
      `${running} runs of at most ${grant.max_concurrent}`,
      "wait until one has ended",
    );
  if (
    grant.max_per_minute !== null &&
    world.requestsInLastMinute(from.room_id, from.sender) >= grant.max_per_minute
  )
    throw new Refusal("rate_limited", `more than ${grant.max_per_minute} a minute`, "wait a minute");
}

import { MAX_CLOCK_SKEW_MS } from "@mx-agent/protocol";
import { Refusal } from "../refusal.ts";

/** Step 4: not made in the future, not expired. The refusal names the seconds. */
export function freshness(times: { created_at: string; expires_at: string }, now: number): void {
  const ahead = Date.parse(times.created_at) - now;
  if (ahead > MAX_CLOCK_SKEW_MS)
    throw new Refusal(
      "from_the_future",
      `made ${seconds(ahead)} s ahead of this clock`,
      `the request was made ${seconds(ahead)} s ahead of the executing machine's clock; set the clocks`,
    );
  const late = now - Date.parse(times.expires_at);
  if (late >= 0)
    throw new Refusal(
      "expired",
      `expired ${seconds(late)} s ago`,
      `the request expired ${seconds(late)} s before it was decided on; send it again`,
    );
}

const seconds = (ms: number) => Math.ceil(ms / 1000);

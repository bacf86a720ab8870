import { MAX_CLOCK_SKEW_MS } from "@mx-agent/protocol";
import type { RequestKey, RunRequest } from "../admitted.ts";
import { Refusal } from "../refusal.ts";
import type { World } from "../world.ts";

/**
 * Step 8: nonce and invocation id were never used, and the request id by no other key: results name the one or
 * the other. All are claimed in the transaction that records the request. A nonce is remembered for as long as its request could pass step 4, clock skew included.
 */
export function replay(request: RunRequest, key: RequestKey, world: World): void {
  const { nonce, invocation_id, request_id, expires_at } = request.content;
  const expires_ts = Date.parse(expires_at) + MAX_CLOCK_SKEW_MS;
  const outcome = world.claim({ key_id: key.key_id, nonce, invocation_id, request_id, expires_ts });
  if (outcome === "replayed")
    throw new Refusal("replayed", `its nonce, invocation id ${invocation_id} or request id was used before`);
  if (outcome === "full")
    throw new Refusal(
      "over_capacity",
      "too many unexpired requests of this key",
      "wait until some have expired",
    );
}

import { verifySignature } from "@mx-agent/protocol";
import type { RequestKey } from "../admitted.ts";
import { Refusal } from "../refusal.ts";

/** Step 7: the Ed25519 signature over the canonical JSON of the content exactly as it was received. */
export function signature(content: object, key: RequestKey): void {
  const outcome = verifySignature(content, key.public_key);
  if (outcome !== "ok")
    throw new Refusal(outcome, outcome === "unsigned" ? "no signature" : "the signature does not verify");
}

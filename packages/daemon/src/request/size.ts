import { mxError } from "@mx-agent/base";
import { canonicalBytes, MAX_CONTENT_BYTES } from "@mx-agent/protocol";

/** A request that no receiver would read is not sent (PROTOCOL.md, "Conventions"). MX_BAD_INPUT. */
export function refuseTooLarge(content: object): void {
  const bytes = canonicalBytes(content).length;
  if (bytes <= MAX_CONTENT_BYTES) return;
  throw mxError("MX_BAD_INPUT", {
    detail: `the request is ${bytes} bytes, and may be ${MAX_CONTENT_BYTES}`,
    hint: "send what is long on standard input, or in a file",
  });
}

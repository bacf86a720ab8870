import { EventTypes, MAX_REQUEST_LIFETIME_MS, parseContent } from "@mx-agent/protocol";
import type { IncomingEvent } from "../../matrix/api.ts";
import type { RunRequest } from "../admitted.ts";
import { Refusal } from "../refusal.ts";

/** Step 2: the content is what PROTOCOL.md says a request is, in its version, size and depth. */
export function shape(event: IncomingEvent): RunRequest {
  const request = parse(event);
  const { created_at, expires_at } = request.content;
  const lifetime = Date.parse(expires_at) - Date.parse(created_at);
  if (lifetime < 0 || lifetime > MAX_REQUEST_LIFETIME_MS)
    throw new Refusal("malformed_request", "expires_at must be 0 to 600 s after created_at");
  return request;
}

function parse(event: IncomingEvent): RunRequest {
  if (event.type === EventTypes.execRequest) {
    const parsed = parseContent(EventTypes.execRequest, event.content);
    if (!parsed.ok) throw new Refusal("malformed_request", parsed.problem);
    if (parsed.value.pty)
      throw new Refusal(
        "malformed_request",
        "asks for a terminal",
        "the executing side has no terminals; ask without one",
      );
    return { kind: "exec", content: parsed.value };
  }
  const parsed = parseContent(EventTypes.callRequest, event.content);
  if (!parsed.ok) throw new Refusal("malformed_request", parsed.problem);
  return { kind: "call", content: parsed.value };
}

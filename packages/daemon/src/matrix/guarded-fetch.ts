import { mxError } from "@mx-agent/base";
import { type RateLimitGate, requestClass, retryAfterMs } from "./gate.ts";
import { shallow } from "./nesting.ts";
import type { Clock, Fetch } from "./types.ts";

export interface GuardedFetchOptions {
  fetch: Fetch;
  gate: RateLimitGate;
  clock: Clock;
  /** Whether plain events must never go into this room. */
  isEncrypted: (room_id: string) => boolean;
  /** Sees the body of every answer to /sync before the SDK does; a string says why it is none. */
  onSync: (body: string) => string | undefined;
  /** Resolves when nothing is in use that the disk has not: what was encrypted leaves no earlier (DESIGN.md, rules 1 and 2). */
  durable: () => Promise<void>;
  /** The server's clock minus ours, milliseconds, as its Date header shows. */
  onClockSkew: (ms: number) => void;
}

/**
 * The one way out to the homeserver, given to the SDK as its `fetchFn`: waits out rate limits, refuses plain
 * text into encrypted rooms, and reads every body whole while the request's abort signal still holds.
 */
export function guardedFetch(options: GuardedFetchOptions): Fetch {
  const { fetch, gate, clock } = options;
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const method = init?.method ?? "GET";
    refusePlainText(method, url.pathname, options.isEncrypted);
    const kind = requestClass(method, url.pathname);
    for (;;) {
      await gate.pass(kind, init?.signal);
      if (method !== "GET") await options.durable();
      const response = await fetch(input, init);
      noteDate(response, clock, options.onClockSkew);
      if (kind === "media" && response.ok) return response;
      const body = shallow(await response.text());
      if (response.status === 429) {
        gate.close(kind, retryAfterMs(response.headers.get("retry-after"), body, clock()));
        continue;
      }
      if (kind === "sync" && response.ok) {
        const wrong = options.onSync(body);
        if (wrong !== undefined) return badGateway(`the answer to /sync makes no sense: ${wrong}`);
      }
      return rebuilt(response, body);
    }
  };
}

/** Reactions are never encrypted; everything else that is sent into an encrypted room is (DESIGN.md, rule 6). */
function refusePlainText(method: string, path: string, isEncrypted: (room_id: string) => boolean): void {
  const found = /\/rooms\/([^/]+)\/send\/([^/]+)/.exec(path);
  if (method !== "PUT" || !found) return;
  const [room_id = "", type = ""] = found.slice(1).map(decodeURIComponent);
  if (type === "m.room.encrypted" || type === "m.reaction" || !isEncrypted(room_id)) return;
  throw mxError("MX_INTERNAL", {
    detail: `a plain ${type} was about to be sent into the encrypted room ${room_id}`,
  });
}

function noteDate(response: Response, clock: Clock, onClockSkew: (ms: number) => void): void {
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header has whole seconds: half of one is the best guess for the rest.
  if (!Number.isNaN(date)) onClockSkew(date + 500 - clock());
}

function badGateway(detail: string): Response {
  return Response.json({ errcode: "M_UNKNOWN", error: detail }, { status: 502 });
}

function rebuilt(response: Response, body: string): Response {
  const headers = new Headers(response.headers);
  headers.delete("content-encoding");
  headers.delete("content-length");
  const init = { status: response.status, statusText: response.statusText, headers };
  // The two that the SDK uses, without a way through bytes and back: an answer may be megabytes.
  return Object.defineProperties(new Response(null, init), {
    json: { value: async () => JSON.parse(body) },
    text: { value: async () => body },
  });
}

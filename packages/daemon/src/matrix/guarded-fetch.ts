import { setTimeout as sleep } from "node:timers/promises";
import { failpoint, mxError } from "@mx-agent/base";
import { type RateLimitGate, requestClass, retryAfterMs } from "./gate.ts";
import { isOfVerification } from "./keys/room-verifications.ts";
import { shallow } from "./nesting.ts";
import type { Prepared } from "./outbox.ts";
import { type Clock, type Fetch, isRecord } from "./types.ts";

export interface GuardedFetchOptions {
  fetch: Fetch;
  gate: RateLimitGate;
  clock: Clock;
  /** Whether plain events must never go into this room. */
  isEncrypted: (room_id: string) => boolean;
  /** Encrypts a step of a verification for everybody in the room: the SDK would send it plain. */
  seal: (room_id: string, type: string, content: Record<string, unknown>) => Promise<Prepared>;
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
  return async (address, asked) => {
    const url = new URL(address instanceof Request ? address.url : address);
    const method = asked?.method ?? "GET";
    const [input, init] = (await sealed(method, url, asked, options)) ?? [address, asked];
    const kind = requestClass(method, url.pathname);
    for (;;) {
      await gate.pass(kind, init?.signal);
      if (method !== "GET") await options.durable();
      failpoint("http.before_request");
      const response = await fetch(input, init);
      failpoint("http.after_request");
      noteDate(response, clock, options.onClockSkew);
      if (kind === "media" && response.ok) return response;
      const body = shallow(await response.text());
      if (response.status === 429) {
        const wait = retryAfterMs(response.headers.get("retry-after"), body, clock());
        // It may be one device's queue that is full: messages to other devices do not wait for that one.
        if (kind === "to_device") await sleep(wait, undefined, init?.signal ? { signal: init.signal } : {});
        else gate.close(kind, wait);
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

/**
 * Reactions are never encrypted; everything else that is sent into an encrypted room is (DESIGN.md, rule 6). Answers
 * what to send instead where the SDK itself was about to send a step of a verification there.
 */
async function sealed(
  method: string,
  url: URL,
  init: RequestInit | undefined,
  { isEncrypted, seal }: Pick<GuardedFetchOptions, "isEncrypted" | "seal">,
): Promise<[URL, RequestInit] | undefined> {
  const found = /^(.*\/rooms\/)([^/]+)\/send\/([^/]+)(.*)$/.exec(url.pathname);
  if (method !== "PUT" || !found) return undefined;
  const [, before = "", ...rest] = found;
  const [room_id = "", type = ""] = rest.map(decodeURIComponent);
  if (type === "m.room.encrypted" || type === "m.reaction" || !isEncrypted(room_id)) return undefined;
  const content: unknown = typeof init?.body === "string" ? JSON.parse(init.body) : undefined;
  if (!isRecord(content) || !isOfVerification(type, content))
    throw mxError("MX_INTERNAL", {
      detail: `a plain ${type} was about to be sent into the encrypted room ${room_id}`,
    });
  const prepared = await seal(room_id, type, content);
  const path = `${before}${encodeURIComponent(room_id)}/send/${encodeURIComponent(prepared.type)}${rest.at(-1)}`;
  return [new URL(path, url), { ...init, body: JSON.stringify(prepared.content) }];
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

import { expect } from "vitest";
import type { HomeserverKind, TestHomeserver } from "../../../../scripts/homeservers.ts";
import type { FaultProxy, ProxiedAnswer } from "../../../daemon/test/support/fault-proxy.ts";
import { unexpected } from "../conformance/deviations.ts";
import { conformance } from "./users.ts";

/** One answer as it came. */
export interface Seen {
  readonly status: number;
  readonly contentType: string | null;
  readonly body: string;
}

/**
 * Looks at answers that others get (a client library, a browser's way of asking, bytes on a socket), and remembers what
 * in them contradicts the specification.
 */
export class Witness {
  readonly #problems: string[] = [];
  #answers = 0;

  /** `path` with its query. What never became a request has neither: its answer is a refusal. */
  see(request: { readonly method: string; readonly path: string } | undefined, answer: Seen): void {
    this.#answers += 1;
    if (conformance === undefined) return;
    const { status } = answer;
    const json = answer.contentType?.startsWith("application/json") ?? false;
    const body: unknown = json && answer.body !== "" ? JSON.parse(answer.body) : undefined;
    this.#problems.push(
      ...(request === undefined
        ? conformance.refusal(status, body)
        : conformance.problems(request.method, request.path, status, body)),
    );
  }

  /** For who asks by a `fetch` that can be chosen. */
  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const response = await globalThis.fetch(input, init);
    const bytes = await response.arrayBuffer();
    const { pathname, search } = new URL(input instanceof Request ? input.url : input);
    this.see(
      { method: init?.method ?? "GET", path: pathname + search },
      {
        status: response.status,
        contentType: response.headers.get("content-type"),
        body: new TextDecoder().decode(bytes),
      },
    );
    const { status, statusText, headers } = response;
    return new Response(bytes, { status, statusText, headers });
  };

  /** For who is given a URL: the homeserver as it is reached through a proxy. */
  through(proxy: FaultProxy, homeserver: TestHomeserver): TestHomeserver {
    proxy.on((request) => ({
      kind: "rewrite",
      change: (answer: ProxiedAnswer) => {
        const { status, body } = answer;
        this.see(request, { status, contentType: answer.headers["content-type"] ?? null, body });
        // Where it says where it is, clients would go past the proxy.
        return { ...answer, body: body.replaceAll(homeserver.url, proxy.url) };
      },
    }));
    return { ...homeserver, url: proxy.url, registerUser: homeserver.registerUser.bind(homeserver) };
  }

  /** That there were at least so many answers, and each as the specification says. */
  expectRight(atLeast: number, of: HomeserverKind = "embedded"): void {
    expect(unexpected(this.#problems, of)).toEqual([]);
    expect(this.#answers).toBeGreaterThanOrEqual(atLeast);
  }
}

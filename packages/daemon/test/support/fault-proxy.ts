import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** A request on its way to the homeserver. */
export interface ProxiedRequest {
  method: string;
  /** Path and query, as the client sent it. */
  path: string;
  body: string;
  /** Counts from 1 over all requests. */
  number: number;
}

/** The homeserver's answer on its way back. */
export interface ProxiedAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** What happens to a request. */
export type Fault =
  /** Closes the connection without an answer; the homeserver hears nothing. */
  | { kind: "drop" }
  /** The homeserver gets the request, and the client no answer. */
  | { kind: "drop_answer" }
  /** Waits, then goes on as usual. */
  | { kind: "delay"; ms: number }
  /** Answers in the homeserver's place. */
  | { kind: "answer"; status: number; body: string; headers?: Record<string, string> }
  /** Lets the homeserver answer, and changes that. */
  | { kind: "rewrite"; change: (answer: ProxiedAnswer) => ProxiedAnswer }
  /** Changes what the client sent before the homeserver gets it. */
  | { kind: "alter"; body: (body: string) => string }
  /** Sends the head and half of the body, and then nothing any more. */
  | { kind: "stall" }
  /** Lets the client wait until the proxy is closed, or the client hangs up. */
  | { kind: "hang" };

/** Decides about each request; undefined lets it pass. */
export type Rule = (request: ProxiedRequest) => Fault | undefined;

export interface FaultProxy {
  readonly url: string;
  /** Every request that came, also those that were not let through. */
  readonly requests: readonly ProxiedRequest[];
  /** Puts a rule before those that are there, and answers what removes it. */
  on(rule: Rule): () => void;
  /** A rule for the next `times` requests whose path contains `part`; resolves when all of them have come. */
  next(part: string, fault: Fault, times?: number): Promise<void>;
  close(): Promise<void>;
}

export const tooManyRequests = (retry_after_ms: number): Fault => ({
  kind: "answer",
  status: 429,
  body: JSON.stringify({ errcode: "M_LIMIT_EXCEEDED", error: "Too Many Requests", retry_after_ms }),
});

export const garbage: Fault = {
  kind: "answer",
  status: 200,
  body: "<html><body>It works!</body></html>",
  headers: { "content-type": "text/html" },
};

/** An HTTP proxy between a session and its homeserver, that tests drive. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const rules: Rule[] = [];
  const requests: ProxiedRequest[] = [];
  const ended = new AbortController();

  const server = createServer((incoming, response) => {
    serve(incoming, response).catch(() => response.destroy());
  });

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request: ProxiedRequest = {
      method: incoming.method ?? "GET",
      path: incoming.url ?? "/",
      body: await read(incoming),
      number: requests.length + 1,
    };
    requests.push(request);
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const signal = AbortSignal.any([ended.signal, gone.signal]);
    const fault = firstOf(rules, request);
    if (fault?.kind === "drop") {
      response.destroy();
      return;
    }
    if (fault?.kind === "hang") {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      response.destroy();
      return;
    }
    if (fault?.kind === "answer") {
      const headers = { "content-type": "application/json", ...fault.headers };
      return write(response, { status: fault.status, headers, body: fault.body });
    }
    if (fault?.kind === "delay") await sleep(fault.ms, undefined, { signal });
    const sent = fault?.kind === "alter" ? { ...request, body: fault.body(request.body) } : request;
    const answer = await forward(target, incoming, sent, signal);
    if (fault?.kind === "drop_answer") {
      response.destroy();
      return;
    }
    if (fault?.kind === "stall") {
      response.writeHead(answer.status, {
        ...answer.headers,
        "content-length": Buffer.byteLength(answer.body),
      });
      response.write(answer.body.slice(0, answer.body.length / 2));
      return;
    }
    write(response, fault?.kind === "rewrite" ? fault.change(answer) : answer);
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");

  const on = (rule: Rule) => {
    rules.unshift(rule);
    return () => {
      const at = rules.indexOf(rule);
      if (at >= 0) rules.splice(at, 1);
    };
  };
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    on,
    next(part, fault, times = 1) {
      const { promise, resolve } = Promise.withResolvers<void>();
      let left = times;
      const remove = on((request) => {
        if (left === 0 || !request.path.includes(part)) return undefined;
        left--;
        if (left === 0) {
          remove();
          resolve();
        }
        return fault;
      });
      return promise;
    },
    async close() {
      ended.abort();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function firstOf(rules: Rule[], request: ProxiedRequest): Fault | undefined {
  for (const rule of [...rules]) {
    const fault = rule(request);
    if (fault) return fault;
  }
  return undefined;
}

async function read(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

async function forward(
  target: string,
  incoming: IncomingMessage,
  { method, path, body }: ProxiedRequest,
  signal: AbortSignal,
): Promise<ProxiedAnswer> {
  const headers = new Headers();
  for (const name of ["authorization", "content-type", "accept"]) {
    const value = incoming.headers[name];
    if (typeof value === "string") headers.set(name, value);
  }
  const response = await fetch(target + path, {
    method,
    headers,
    signal,
    ...(method !== "GET" && method !== "HEAD" && { body }),
  });
  const kept = ["content-type", "retry-after", "date"].flatMap((name) => {
    const value = response.headers.get(name);
    return value === null ? [] : [[name, value]];
  });
  return { status: response.status, headers: Object.fromEntries(kept), body: await response.text() };
}

function write(response: ServerResponse, { status, headers, body }: ProxiedAnswer): void {
  response.writeHead(status, headers);
  response.end(body);
}

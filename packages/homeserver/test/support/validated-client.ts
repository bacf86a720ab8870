import { existsSync, readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { default as addFormats } from "ajv-formats";

const document = new URL("../../../../../shared/conformance/matrix-client-server-api.json", import.meta.url);

/** Whether the outside data are there. Where not, a test skips with the words `outsideDataMissing`. */
export const outsideData = existsSync(document);
export const outsideDataMissing = "outside data not present";

interface Operation {
  responses: Record<string, { content?: Record<string, { schema?: object }> }>;
}

interface Route {
  template: string;
  segments: string[];
  operations: Record<string, Operation>;
}

export interface Request {
  method: string;
  /** From `/_matrix` on, with the query: `/_matrix/client/v3/sync?timeout=0`. */
  path: string;
  token?: string;
  /** Sent as JSON, unless it is bytes or a string, which go as they are. */
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Exchange {
  request: Request;
  status: number;
  headers: Headers;
  /** The parsed JSON; undefined when the answer is none. */
  body: unknown;
  bytes: Uint8Array;
  /** What contradicts the specification; without the outside data only headers are looked at. */
  problems: string[];
}

/** Statuses that any endpoint may answer with the standard error body ("API Standards", "Common error codes"). */
const anywhere = new Set([400, 401, 403, 404, 405, 413, 429, 500]);

/** And what HTTP itself has for requests that do not arrive (RFC 9110, section 15.5; RFC 6585). */
const unarrived = new Set([400, 408, 413, 431]);

const errorSchema = {
  type: "object",
  required: ["errcode"],
  properties: {
    errcode: { type: "string", pattern: "^[A-Z0-9_.]+$" },
    error: { type: "string", minLength: 1 },
    retry_after_ms: { type: "integer", minimum: 0 },
    soft_logout: { type: "boolean" },
  },
};

/** "User-interactive API in the REST API": what a 401 says when more is asked for than the token. */
const interactiveSchema = {
  type: "object",
  required: ["flows"],
  properties: {
    flows: {
      type: "array",
      minItems: 1,
      items: {
        type: "object",
        required: ["stages"],
        properties: { stages: { type: "array", items: { type: "string" } } },
      },
    },
    params: { type: "object" },
    session: { type: "string" },
    completed: { type: "array", items: { type: "string" } },
  },
};

/** Checks answers against the Client-Server API's OpenAPI document. */
export class Conformance {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #routes: Route[];
  readonly #compiled = new Map<object, ValidateFunction>();
  /** `METHOD template status` of everything that was validated against a schema of its own. */
  readonly covered = new Set<string>();

  constructor() {
    addFormats.default(this.#ajv);
    this.#ajv.addFormat("mx-user-id", /^@/);
    this.#ajv.addFormat("mx-room-id", /^!/);
    this.#ajv.addFormat("mx-event-id", /^\$/);
    this.#ajv.addFormat("mx-room-alias", /^#/);
    this.#ajv.addFormat("mx-mxc-uri", /^mxc:\/\/[^/]+\/[^/]+$/);
    this.#ajv.addFormat("mx-server-name", /^[A-Za-z0-9.:[\]-]+$/);
    this.#ajv.addFormat("org.matrix.custom.html", true);
    this.#ajv.addFormat("event_id_only", true);
    const parsed: { paths: Record<string, Record<string, Operation>> } = JSON.parse(
      readFileSync(document, "utf8"),
    );
    this.#routes = Object.entries(parsed.paths).map(([template, operations]) => ({
      template: template.trim(),
      segments: template.trim().split("/"),
      operations,
    }));
  }

  /** What contradicts the specification in this answer. */
  problems(method: string, path: string, status: number, body: unknown): string[] {
    // Our own, as /health, and what the machinery of HTTP asks: their refusals alone are of the API.
    if (!/^\/(_matrix|\.well-known)\//.test(path) || method === "OPTIONS")
      return status < 400 ? [] : this.refusal(status, body);
    const found = this.#find(method, path);
    if (!found) return this.#unknownEndpoint(method, path, status, body);
    const { route, operation } = found;
    const where = `${method} ${route.template} ${status}`;
    const described = operation.responses[status];
    // Any endpoint that wants a token refuses a request without one in the same words.
    if (status === 401 && isObject(body) && !isInteractive(body))
      return this.#validate(errorSchema, body, where);
    if (!described) {
      if (!anywhere.has(status)) return [`${where}: the specification has no such status here`];
      return this.#validate(isInteractive(body) ? interactiveSchema : errorSchema, body, where);
    }
    const schema = described.content?.["application/json"]?.schema;
    this.covered.add(where);
    const problems = schema ? this.#validate(schema, body, where) : [];
    return status >= 400 && body !== undefined && !isInteractive(body)
      ? [...problems, ...this.#validate(errorSchema, body, where)]
      : problems;
  }

  /** What contradicts the specification in the answer to what never became a request, or to one that is not known. */
  refusal(status: number, body: unknown): string[] {
    const where = `a refusal with ${status}`;
    if (!anywhere.has(status) && !unarrived.has(status)) return [`${where}: there is no such status`];
    // Who has to prove himself first is told how, in the words of that API.
    return this.#validate(
      status === 401 && isInteractive(body) ? interactiveSchema : errorSchema,
      body,
      where,
    );
  }

  /** Every operation of the document: its method, and its path with its parameters filled in by `value`. */
  operations(value: string): { method: string; template: string; path: string }[] {
    return this.#routes.flatMap(({ template, operations }) =>
      Object.keys(operations).map((method) => ({
        method: method.toUpperCase(),
        template,
        path: template.replace(/\{[^}]+\}/g, value),
      })),
    );
  }

  #unknownEndpoint(method: string, path: string, status: number, body: unknown): string[] {
    const where = `${method} ${path} ${status}`;
    if (status !== 404 && status !== 405)
      return [`${where}: not in the specification, so it answers 404 or 405`];
    return this.#validate(errorSchema, body, where);
  }

  #find(method: string, path: string): { route: Route; operation: Operation } | undefined {
    const segments = (path.split("?")[0] ?? "").split("/");
    const candidates = this.#routes.filter((route) => matches(route.segments, segments));
    candidates.sort((a, b) => literals(b) - literals(a));
    for (const route of candidates) {
      const operation = route.operations[method.toLowerCase()];
      if (operation) return { route, operation };
    }
    return undefined;
  }

  #validate(schema: object, body: unknown, where: string): string[] {
    let check = this.#compiled.get(schema);
    if (!check) {
      check = this.#ajv.compile(schema);
      this.#compiled.set(schema, check);
    }
    if (check(body)) return [];
    return (check.errors ?? []).map(
      (error) => `${where}: ${error.instancePath || "the body"} ${error.message ?? error.keyword}`,
    );
  }
}

/** An answer of the user-interactive authentication API: its body is flows, not an error. */
function isInteractive(body: unknown): boolean {
  return isObject(body) && "flows" in body;
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

function matches(template: string[], path: string[]): boolean {
  // The last parameter may be empty and left out with its slash: `/state/{eventType}`.
  const last = template.at(-1) ?? "";
  if (template.length === path.length + 1 && last === "{stateKey}")
    return matches(template.slice(0, -1), path);
  if (template.length !== path.length) return false;
  return template.every((part, i) => {
    if (!part.startsWith("{")) return part === path[i];
    return path[i] !== "" || part === "{stateKey}";
  });
}

const literals = (route: Route) => route.segments.filter((part) => !part.startsWith("{")).length;

/** An HTTP client of one homeserver whose every answer is checked against the specification. */
export class ValidatedClient {
  readonly url: string;
  readonly #conformance: Conformance | undefined;

  /** Without `conformance` status and body are not checked. */
  constructor(url: string, conformance: Conformance | undefined) {
    this.url = url;
    this.#conformance = conformance;
  }

  async exchange(request: Request): Promise<Exchange> {
    const raw = request.body instanceof Uint8Array || typeof request.body === "string";
    const response = await fetch(this.url + request.path, {
      method: request.method,
      redirect: "manual",
      headers: {
        ...(request.body !== undefined && { "content-type": "application/json" }),
        ...(request.token !== undefined && { authorization: `Bearer ${request.token}` }),
        ...request.headers,
      },
      ...(request.body !== undefined && {
        body: raw ? (request.body as string | Uint8Array<ArrayBuffer>) : JSON.stringify(request.body),
      }),
    });
    const bytes = new Uint8Array(await response.arrayBuffer());
    const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
    const body: unknown = isJson ? JSON.parse(new TextDecoder().decode(bytes)) : undefined;
    const problems = [
      ...(this.#conformance?.problems(request.method, request.path, response.status, body) ?? []),
      ...(response.headers.get("access-control-allow-origin") === "*" ? [] : ["no CORS headers"]),
    ];
    return { request, status: response.status, headers: response.headers, body, bytes, problems };
  }
}

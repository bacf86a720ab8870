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
    const found = this.#find(method, path);
    if (!found) return this.#unknownEndpoint(method, path, status, body);
    const { route, operation } = found;
    const where = `${method} ${route.template} ${status}`;
    const described = operation.responses[status];
    if (!described) {
      if (!anywhere.has(status)) return [`${where}: the specification has no such status here`];
      return this.#validate(errorSchema, body, where);
    }
    const schema = described.content?.["application/json"]?.schema;
    this.covered.add(where);
    const problems = [
      ...(this.#conformance?.problems(request.method, request.path, response.status, body) ?? []),
      ...(response.headers.get("access-control-allow-origin") === "*" ? [] : ["no CORS headers"]),
    ];
    return { request, status: response.status, headers: response.headers, body, bytes, problems };
  }
}

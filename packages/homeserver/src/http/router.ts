import { absence } from "./absent.ts";
import { invalidParam, unrecognized } from "./errors.ts";
import type { LimitClass } from "./limits.ts";
import type { ApiRequest } from "./request.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";
export type Handler = (request: ApiRequest) => unknown;

export interface Route {
  readonly method: Method;
  /** Segments in braces are parameters: `/rooms/{roomId}/state`. */
  readonly pattern: string;
  readonly auth: "user" | "optional" | "none";
  /** `json`: an object is required; `optional`: nothing means `{}`; `raw`: the handler reads it. */
  readonly body: "json" | "optional" | "raw" | "none";
  readonly maxBodyBytes: number;
  readonly limit?: LimitClass;
  readonly handler: Handler;
}

export interface RouteOptions {
  auth?: Route["auth"];
  body?: Route["body"];
  maxBodyBytes?: number;
  limit?: LimitClass;
}

const KIB = 1024;

/**
 * Describes a route. Strangers may send 64 KiB, users 1 MiB, and what changes something is counted, unless the
 * route says otherwise.
 */
export function route(method: Method, pattern: string, handler: Handler, options: RouteOptions = {}): Route {
  const auth = options.auth ?? "user";
  const limit = options.limit ?? (method === "GET" ? undefined : "write");
  return {
    method,
    pattern,
    auth,
    body: options.body ?? (method === "GET" ? "none" : method === "DELETE" ? "optional" : "json"),
    maxBodyBytes: options.maxBodyBytes ?? (auth === "user" ? 1024 * KIB : 64 * KIB),
    ...(limit === undefined ? {} : { limit }),
    handler,
  };
}

interface Node {
  readonly literals: Map<string, Node>;
  parameter: Node | undefined;
  readonly methods: Map<string, { route: Route; names: string[] }>;
}

const newNode = (): Node => ({ literals: new Map(), parameter: undefined, methods: new Map() });

/** Finds the route of a path; literal segments win over parameters. */
export class Router {
  readonly #root = newNode();

  constructor(routes: readonly Route[]) {
    for (const each of routes) this.#add(each);
  }

  #add(added: Route): void {
    let node = this.#root;
    const names: string[] = [];
    for (const segment of added.pattern.split("/").slice(1)) {
      if (segment.startsWith("{")) {
        names.push(segment.slice(1, -1));
        node.parameter ??= newNode();
        node = node.parameter;
      } else {
        let next = node.literals.get(segment);
        if (next === undefined) {
          next = newNode();
          node.literals.set(segment, next);
        }
        node = next;
      }
    }
    if (node.methods.has(added.method)) throw new Error(`two routes for ${added.method} ${added.pattern}`);
    node.methods.set(added.method, { route: added, names });
  }

  /** The route and its decoded parameters; M_UNRECOGNIZED with 404 or 405 when there is none. */
  find(method: string, path: string): { route: Route; params: ReadonlyMap<string, string> } {
    const segments = path.split("/").slice(1);
    const match = matchNode(this.#root, segments, 0, []);
    if (match === undefined) throw absence(path);
    const found = match.node.methods.get(method);
    if (found === undefined) throw unrecognized(405, `${method} is not known on that path`);
    const params = new Map<string, string>();
    for (const [index, name] of found.names.entries()) {
      const value = decodeSegment(match.values[index] ?? "");
      // Only the key of a state event may be empty.
      if (value === "" && name !== "stateKey") throw absence(path);
      params.set(name, value);
    }
    return { route: found.route, params };
  }

  /** Method and pattern of every route, for the coverage test. */
  static list(routes: readonly Route[]): string[] {
    return routes.map((each) => `${each.method} ${each.pattern}`);
  }
}

function matchNode(
  node: Node,
  segments: string[],
  index: number,
  values: string[],
): { node: Node; values: string[] } | undefined {
  const segment = segments[index];
  if (segment === undefined) return node.methods.size > 0 ? { node, values } : undefined;
  const literal = node.literals.get(segment);
  if (literal !== undefined) {
    const match = matchNode(literal, segments, index + 1, values);
    if (match !== undefined) return match;
  }
  if (node.parameter === undefined) return undefined;
  return matchNode(node.parameter, segments, index + 1, [...values, segment]);
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw invalidParam("the path is not valid percent-encoded UTF-8");
  }
}

/**
 * Makes two servers' answers comparable, and takes no difference out of them (differences.ts has those): ids become names
 * in order of appearance, times, secrets and positions their kind, and unordered lists are sorted. Two things go: the words of
 * errors, and parts of a /sync that are empty.
 */

/** Fields whose value differs by nature; only that they are there, and of which type, is compared. */
const opaque: Record<string, string> = {
  access_token: "token",
  refresh_token: "token",
  session: "session",
  origin_server_ts: "time",
  ts: "time",
  expires_in_ms: "time",
  last_active_ago: "time",
  age: "time",
  last_seen_ts: "time",
  last_seen_ip: "address",
  next_batch: "position",
  prev_batch: "position",
  start: "position",
  end: "position",
  login_token: "token",
  base_url: "url",
  filter_id: "filter",
  etag: "etag",
};

/** Fields that are not compared: what they say is for people, in the server's own words. */
const ignored = new Set(["error", "message"]);

const eventId = /^\$[A-Za-z0-9_+/-]{20,}(:.+)?$/;
const roomId = /^![A-Za-z0-9_-]{10,}(:.+)?$/;
const mxc = /^mxc:\/\/[^/]+\/.+$/;

/** Lists whose order means something; every other list is sorted. */
const ordered = new Set(["timeline.events", "events_before", "events_after", "override", "underride"]);
/** Answers whose `chunk` is a stretch of a timeline. */
const timelineAnswer = /\/(messages|relations|context)\b/;

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Names that are given out as ids appear; one for each scenario, so that an id keeps its name in it. */
export class Names {
  readonly #given = new Map<string, string>();
  readonly #next = new Map<string, number>();

  /** Names an id in advance: a device, say. */
  give(id: string, name: string): void {
    this.#given.set(id, name);
  }

  of(text: string): string {
    const given = this.#given.get(text);
    if (given !== undefined) return given;
    const kind = kindOf(text);
    if (!kind) return text;
    const name = this.#numbered(kind);
    this.#given.set(text, name);
    if (kind === "mxc:") this.#given.set(text.replace(/.*\//, ""), name);
    return name;
  }

  /**
   * Names an event after what it is, where it was not sent by the scenario itself: so an event that one
   * server shows and the other does not changes no other's name.
   */
  ofEvent(id: string, what: string): void {
    if (kindOf(id) !== "$" || this.#given.has(id)) return;
    this.#given.set(id, this.#numbered(`$${what}#`));
  }

  #numbered(kind: string): string {
    const number = this.#next.get(kind) ?? 1;
    this.#next.set(kind, number + 1);
    return `${kind}${number}`;
  }

  /** Replaces the ids and positions in a path, which may be encoded, and hold JSON. */
  inPath(path: string): string {
    return decode(path)
      .replace(/([?&])(since|from|to|at|access_token)=[^&]+/g, "$1$2=…")
      .replace(/![A-Za-z0-9_-]{10,}(:[a-z.]+)?|\$[A-Za-z0-9_-]{43}/g, (id) => this.of(id))
      .replace(/(?<=\/media\/[^?]*\/)[A-Za-z0-9_-]{16,}/, (id) => this.#given.get(id) ?? id);
  }

  /** The name of an id that has one, otherwise its kind: what a list is sorted by. */
  mask(text: string): string {
    return this.#given.get(text) ?? kindOf(text) ?? text;
  }
}

function kindOf(text: string): "$" | "!" | "mxc:" | undefined {
  if (eventId.test(text)) return "$";
  if (roomId.test(text)) return "!";
  return mxc.test(text) ? "mxc:" : undefined;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The answer to a request for `path`, as it is compared. `names` learns the ids that are new in it. */
export function normalise(path: string, body: unknown, names: Names): Json {
  const chunk = timelineAnswer.test(path) ? "timeline.events" : "chunk";
  const whole = pruned(body as Json, "");
  // Every part of a sync may be left out when it is empty.
  const kept = path.includes("/sync") && !path.includes("/sync/") ? withoutEmpty(whole) : whole;
  nameEvents(kept, names, /!\w{10,}(:[a-z]+)?/.exec(decode(path))?.[0] ?? "");
  return named(kept, names, "", chunk);
}

function withoutEmpty(value: Json, key = ""): Json {
  // What an event says is taken as it is.
  if (typeof value !== "object" || value === null || Array.isArray(value) || key === "content") return value;
  const kept: Record<string, Json> = {};
  for (const [name, item] of Object.entries(value)) {
    const inner = name === "events" && Array.isArray(item) ? item : withoutEmpty(item, name);
    if (typeof inner === "object" && inner !== null && Object.keys(inner).length === 0) continue;
    kept[name] = inner;
  }
  return kept;
}

function pruned(value: Json, key: string): Json {
  if (Array.isArray(value)) return value.map((item) => pruned(item, key));
  if (typeof value !== "object" || value === null) return value;
  const kept: Record<string, Json> = {};
  for (const [name, inner] of Object.entries(value)) {
    if (ignored.has(name)) continue;
    const kind = opaque[name];
    if (kind !== undefined && typeof inner !== "object") kept[name] = `<${kind}>`;
    else kept[name] = pruned(inner, name);
  }
  return kept;
}

const isObject = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `room` is the one whose events these are, where the events do not say it. */
function nameEvents(value: Json, names: Names, room: string): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) nameEvents(item, names, room);
    return;
  }
  const { event_id: id, type, state_key: key, room_id: own } = value;
  const where = typeof own === "string" ? own : room;
  if (typeof id === "string" && typeof type === "string") {
    const what = `${type}${typeof key === "string" ? `/${key}` : ""}@${names.of(where)}`;
    const replaced = isObject(value.unsigned) ? value.unsigned.replaces_state : undefined;
    if (typeof replaced === "string") names.ofEvent(replaced, what);
    names.ofEvent(id, what);
  }
  for (const [name, inner] of Object.entries(value))
    nameEvents(inner, names, kindOf(name) === "!" ? name : where);
}

function named(value: Json, names: Names, key: string, chunk: string): Json {
  if (typeof value === "string") return names.of(value);
  if (Array.isArray(value)) {
    const items = ordered.has(key === "chunk" ? chunk : key) ? value : sorted(value, names);
    return items.map((item) => named(item, names, key, chunk));
  }
  if (typeof value !== "object" || value === null) return value;
  const inner = Object.entries(value).sort(([a], [b]) => compare(names.mask(a), names.mask(b)));
  const result: Record<string, Json> = {};
  for (const [name, item] of inner)
    result[names.of(name)] = named(item, names, key === "timeline" ? `timeline.${name}` : name, chunk);
  return result;
}

function sorted(items: Json[], names: Names): Json[] {
  return items
    .map((item) => ({ item, by: sortKey(item) + masked(item, names) }))
    .sort((a, b) => compare(a.by, b.by))
    .map(({ item }) => item);
}

/** State events are sorted by what they are about, so that one that differs does not shift the others. */
function sortKey(item: Json): string {
  if (typeof item !== "object" || item === null || Array.isArray(item)) return "";
  return `${item.type ?? ""} ${item.state_key ?? ""} `;
}

/** The text of a value with its ids taken out, so that the order does not hang on them. */
function masked(value: Json, names: Names): string {
  return JSON.stringify(value, (_key, inner) => {
    if (typeof inner === "string") return names.mask(inner);
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => compare(a, b)));
  });
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

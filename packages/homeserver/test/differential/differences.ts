import type { Compared } from "./compare.ts";
import type { Call } from "./story.ts";

/**
 * Where the embedded homeserver answers otherwise than Synapse, on purpose: at most ten. Each says why, and
 * where the specification leaves room for it or sides with us. One that is no longer needed fails the test.
 */
export interface Difference {
  name: string;
  reason: string;
  specification: string;
  /** Both answers with the difference taken out, or as they are where it does not apply. */
  level(synapse: Compared, ours: Compared, call: Call): [Compared, Compared];
}

const spec = "https://spec.matrix.org/v1.16";

export const differences: Difference[] = [
  {
    name: "optional fields without a value",
    reason: "Synapse sends null where a field has no value; the schema allows a string or nothing",
    specification: `${spec}/client-server-api/#get_matrixclientv3devices`,
    level: (synapse, ours) => [without(synapse, (key, value) => value === null && nullable.has(key)), ours],
  },
  {
    name: "what each server supports",
    reason:
      "versions, capabilities, login flows: each says what it can do; ours serves one room version and passwords, and " +
      "no media without a token, not even to say that there is none",
    specification: `${spec}/client-server-api/#get_matrixclientversions`,
    level: (synapse, ours, { call }) =>
      /GET (\/_matrix\/client\/versions|\/capabilities|\/login|\/_matrix\/media\/v3\/download.*)$/.test(
        call,
      ) && synapse.status === ours.status
        ? [{ status: ours.status }, { status: ours.status }]
        : [synapse, ours],
  },
  {
    name: "the code of a malformed request",
    reason:
      "the specification seldom says which; Synapse often says M_UNKNOWN, or fails with 500; ours names what is wrong",
    specification: `${spec}/client-server-api/#common-error-codes`,
    level: (synapse, ours) =>
      (isMalformed(synapse) && isMalformed(ours)) ||
      (synapse.status === 500 && ours.status >= 400 && ours.status < 500) ||
      (synapse.status === 404 && errcode(synapse) === "M_UNKNOWN" && errcode(ours) === "M_NOT_FOUND")
        ? [{ status: ours.status }, { status: ours.status }]
        : [synapse, ours],
  },
  {
    name: "the code of a refusal",
    reason:
      "what the authorisation rules refuse is 403 M_FORBIDDEN; Synapse says M_BAD_STATE for whoever is banned or not " +
      "banned, and 400 or 401 with M_FORBIDDEN here and there",
    specification: `${spec}/client-server-api/#common-error-codes`,
    level: (synapse, ours) =>
      (ours.status === 403 &&
        errcode(ours) === "M_FORBIDDEN" &&
        refusals.has(`${synapse.status} ${errcode(synapse)}`)) ||
      (synapse.status === 403 && errcode(synapse) === "M_FORBIDDEN" && ours.status === 401)
        ? [{ status: 403 }, { status: 403 }]
        : [synapse, ours],
  },
  {
    name: "earlier access tokens of a device",
    reason:
      "logging in again invalidates any access token previously assigned to that device, and so may the use of a " +
      "refreshed one; Synapse keeps them valid",
    specification: `${spec}/client-server-api/#relationship-between-access-tokens-and-devices`,
    level: (synapse, ours, { shows }) =>
      (shows === "its earlier token" || shows === "the access token from before") &&
      synapse.status === 200 &&
      ours.status === 401
        ? [{ status: 401 }, { status: 401 }]
        : [synapse, ours],
  },
  {
    name: "rooms left",
    reason:
      "without include_leave a first sync has none; Synapse shows those one was banned from. And whoever knocked and " +
      "was refused sees the refusal in ours, in Synapse the room's history",
    specification: `${spec}/client-server-api/#filtering`,
    level: (synapse, ours, { call, shows }) =>
      (call.includes("/sync") && !call.includes("since=") && !call.includes("include_leave")) ||
      shows === "the knock refused"
        ? [withoutRoomsLeft(synapse), withoutRoomsLeft(ours)]
        : [synapse, ours],
  },
  {
    name: "fields that only Synapse has",
    reason:
      "not in the specification: the power level `historical` of a withdrawn proposal, a device's user_id, " +
      "redacted_by, the push rules of `postcontent` and Jitsi, a status beside an errcode",
    specification: `${spec}/client-server-api/#mroompower_levels`,
    level: (synapse, ours) => [without(synapse, synapseOnly), ours],
  },
  {
    name: "optional fields that Synapse leaves out",
    reason:
      "prev_content and membership of events outside of timelines, completed stages, last_active_ago, soft_logout, and a " +
      "room's summary for a client that loads all members: the specification has them, and ours sends them always",
    specification: `${spec}/client-server-api/#get_matrixclientv3sync`,
    level: (synapse, ours) => [synapse, withoutMore(ours, synapse)],
  },
  {
    name: "who is in device_lists",
    reason:
      "`changed`: Synapse also names the user itself, and members whose name changed, who have no new keys and do not " +
      "newly share a room; `left`: it misses who went while one was gone oneself",
    specification: `${spec}/client-server-api/#tracking-the-device-list-for-a-user`,
    level: (synapse, ours) => {
      const subset = (a: unknown[], b: unknown[]) => a.every((user) => b.includes(user));
      return subset(listed(ours, "changed"), listed(synapse, "changed")) &&
        subset(listed(synapse, "left"), listed(ours, "left"))
        ? [withoutDeviceLists(synapse), withoutDeviceLists(ours)]
        : [synapse, ours];
    },
  },
  {
    name: "`end` where history ends",
    reason: "it is omitted where no further events are available; Synapse notices with the next, empty page",
    specification: `${spec}/client-server-api/#get_matrixclientv3roomsroomidmessages`,
    level: (synapse, ours, { call }) =>
      call.includes("/messages") && !hasField(ours, "end")
        ? [without(synapse, (key) => key === "end"), ours]
        : [synapse, ours],
  },
];

const nullable = new Set(["display_name", "avatar_url", "last_seen_ip", "last_seen_ts", "next_token"]);
const optional = new Set([
  "membership",
  "prev_content",
  "completed",
  "last_active_ago",
  "soft_logout",
  "summary",
]);

function synapseOnly(key: string, value: unknown, of: Fields): boolean {
  if (key === "historical" || key === "redacted_by" || key === "postcontent") return true;
  if (key === "status" || key === "message") return "errcode" in of;
  if (key === "user_id" && "device_id" in of)
    return !["algorithms", "is_guest", "access_token"].some((k) => k in of);
  return isObject(value) && value.rule_id === ".im.vector.jitsi";
}

const refusals = new Set(["403 M_BAD_STATE", "400 M_FORBIDDEN", "403 M_UNKNOWN"]);
const malformed = new Set([
  "M_BAD_JSON",
  "M_INVALID_PARAM",
  "M_MISSING_PARAM",
  "M_NOT_JSON",
  "M_UNKNOWN",
  "M_UNRECOGNIZED",
]);
const isMalformed = (answer: Compared) => answer.status === 400 && malformed.has(errcode(answer));

function errcode({ body }: Compared): string {
  return typeof body === "object" && body !== null && "errcode" in body ? String(body.errcode) : "";
}

type Fields = Record<string, unknown>;

/** The answer without the fields and list items that `drop` names. */
function without(answer: Compared, drop: (key: string, value: unknown, of: Fields) => boolean): Compared {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.filter((item) => !drop("", item, {})).map(walk);
    if (!isObject(value)) return value;
    const kept = Object.entries(value).filter(([key, inner]) => !drop(key, inner, value));
    return Object.fromEntries(kept.map(([key, inner]) => [key, walk(inner)]));
  };
  return walk(answer) as Compared;
}

/** Without rooms left, and without `rooms` where there are no others. */
function withoutRoomsLeft(answer: Compared): Compared {
  const less = without(answer, (key, value, of) => key === "leave" && isObject(value) && !("type" in of));
  return without(less, (key, value) => key === "rooms" && isObject(value) && Object.keys(value).length === 0);
}

/** Ours without the optional fields that the other answer has not got in the same place. */
function withoutMore(ours: Compared, synapse: Compared): Compared {
  const walk = (own: unknown, theirs: unknown, of = ""): unknown => {
    if (Array.isArray(own))
      return own.map((item, i) => walk(item, Array.isArray(theirs) ? theirs[i] : undefined));
    if (!isObject(own)) return own;
    const other = isObject(theirs) ? theirs : {};
    const kept: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(own)) {
      const droppable = optional.has(key) && (key !== "membership" || of === "unsigned");
      if (droppable && other[key] === undefined) continue;
      const inner = walk(value, other[key], key);
      if (
        key === "unsigned" &&
        other[key] === undefined &&
        isObject(inner) &&
        Object.keys(inner).length === 0
      )
        continue;
      kept[key] = inner;
    }
    return kept;
  };
  return walk(ours, synapse) as Compared;
}

function listed({ body }: Compared, list: string): unknown[] {
  if (!isObject(body) || !isObject(body.device_lists)) return [];
  const users = body.device_lists[list];
  return Array.isArray(users) ? users : [];
}

const withoutDeviceLists = (answer: Compared) => without(answer, (key) => key === "device_lists");

const hasField = ({ body }: Compared, field: string) => isObject(body) && field in body;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

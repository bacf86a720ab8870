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
    name: "what each server can do",
    reason: "versions, capabilities and flows of login are there to tell servers apart; each says its own",
    specification: `${spec}/client-server-api/#get_matrixclientversions`,
    level: (synapse, ours, { call }) =>
      /GET (\/_matrix\/client\/versions|\/capabilities|\/login)$/.test(call)
        ? [{ status: synapse.status }, { status: ours.status }]
        : [synapse, ours],
  },
  {
    name: "M_UNKNOWN",
    reason:
      "of many malformed requests and unknown names Synapse says M_UNKNOWN, and 500 where it fails on them; ours what is wrong",
    specification: `${spec}/client-server-api/#common-error-codes`,
    level: (synapse, ours) => {
      const refused = ours.status >= 400 && ours.status < 500;
      const vague = errcode(synapse) === "M_UNKNOWN" && refused;
      return vague && (synapse.status === 500 || (synapse.status === ours.status && ours.status !== 403))
        ? [{ status: ours.status }, { status: ours.status }]
        : [synapse, ours];
    },
  },
  {
    name: "M_BAD_STATE",
    reason: "whatever the authorisation rules refuse is M_FORBIDDEN here; Synapse asks first who is banned",
    specification: `${spec}/rooms/v11/#authorization-rules`,
    level: (synapse, ours) =>
      errcode(synapse) === "M_BAD_STATE" && errcode(ours) === "M_FORBIDDEN"
        ? [{ status: synapse.status }, { status: ours.status }]
        : [synapse, ours],
  },
  {
    name: "the status of M_FORBIDDEN",
    reason: "it is 403; Synapse says 400 to who changes somebody else's profile or typing",
    specification: `${spec}/client-server-api/#put_matrixclientv3profileuseridkeyname`,
    level: (synapse, ours) =>
      synapse.status === 400 && ours.status === 403 && errcode(synapse) === errcode(ours)
        ? [{ ...synapse, status: ours.status }, ours]
        : [synapse, ours],
  },
  {
    name: "earlier access tokens of a device",
    reason:
      "logging in again invalidates any access token previously assigned to that device; Synapse keeps it",
    specification: `${spec}/client-server-api/#relationship-between-access-tokens-and-devices`,
    level: (synapse, ours, { shows }) =>
      shows === "its earlier token" && synapse.status === 200 && ours.status === 401
        ? [{ status: 401 }, { status: 401 }]
        : [synapse, ours],
  },
  {
    name: "a used refresh token",
    reason: "is 401 M_UNKNOWN_TOKEN; Synapse says 403 M_FORBIDDEN",
    specification: `${spec}/client-server-api/#post_matrixclientv3refresh`,
    level: (synapse, ours, { call }) =>
      call.endsWith("/refresh") && synapse.status === 403 && ours.status === 401
        ? [{ status: 401 }, { status: 401 }]
        : [synapse, ours],
  },
  {
    name: "a knock refused",
    reason: "whoever knocked and was refused hears just that from ours, from Synapse the room's history too",
    specification: `${spec}/client-server-api/#room-history-visibility`,
    level: (synapse, ours, { shows }) =>
      shows === "the knock refused" ? [withoutRoomsLeft(synapse), withoutRoomsLeft(ours)] : [synapse, ours],
  },
  {
    name: "`end` where history ends",
    reason: "it is omitted where no further events are available; Synapse notices with the next, empty page",
    specification: `${spec}/client-server-api/#get_matrixclientv3roomsroomidmessages`,
    level: (synapse, ours, { call }) =>
      call.includes("/messages") && !hasField(ours, "end") && isLastPage(ours, call)
        ? [withoutFields(synapse, ["end"]), ours]
        : [synapse, ours],
  },
  {
    name: "current_version",
    reason: "is the version of the backup that is current; Synapse repeats the one that was asked for",
    specification: `${spec}/client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid`,
    level: (synapse, ours) =>
      errcode(synapse) === "M_WRONG_ROOM_KEYS_VERSION" && errcode(ours) === errcode(synapse)
        ? [withoutFields(synapse, ["current_version"]), withoutFields(ours, ["current_version"])]
        : [synapse, ours],
  },
  {
    name: "what Synapse adds",
    reason:
      "fields from before the specification, from proposals, and optional ones that ours leaves out; null where there is no value",
    specification: `${spec}/client-server-api/#room-event-format`,
    level: (synapse, ours) => [withoutAdditions(synapse), ours],
  },
];

function errcode({ body }: Compared): string {
  return typeof body === "object" && body !== null && "errcode" in body ? String(body.errcode) : "";
}

type Fields = Record<string, unknown>;

/** The answer without the fields that `drop` names. */
function without(answer: Compared, drop: (key: string, value: unknown, of: Fields) => boolean): Compared {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (!isObject(value)) return value;
    const kept = Object.entries(value).filter(([key, inner]) => !drop(key, inner, value));
    return Object.fromEntries(kept.map(([key, inner]) => [key, walk(inner)]));
  };
  return walk(answer) as Compared;
}

const isEmpty = (value: unknown) => isObject(value) && Object.keys(value).length === 0;

/** Without rooms left, and without `rooms` where there are no others. */
function withoutRoomsLeft(answer: Compared): Compared {
  const less = without(answer, (key, value, of) => key === "leave" && isObject(value) && !("type" in of));
  return without(less, (key, value) => key === "rooms" && isEmpty(value));
}

function withoutFields(answer: Compared, fields: readonly string[]): Compared {
  if (!isObject(answer.body)) return answer;
  const kept = Object.entries(answer.body).filter(([key]) => !fields.includes(key));
  return { ...answer, body: Object.fromEntries(kept) };
}

/** Whether a page of /messages is the last: it is not full, or the room begins or the stretch that was asked for ends with it. */
function isLastPage({ body }: Compared, call: string): boolean {
  const chunk = isObject(body) && Array.isArray(body.chunk) ? body.chunk : [];
  const limit = Number(/[?&]limit=(\d+)/.exec(call)?.[1] ?? 10);
  return chunk.length < limit || chunk.at(-1)?.type === "m.room.create";
}

/** Of events, beside the `unsigned` that has the same: as events were before the specification's first release. */
const ofOldEvents = ["age", "user_id", "prev_content", "redacted_because", "replaces_state"];
/** Of a login; of a token that is to be handed on; of a proposal for power levels and one for push rules. */
const ofProposals = ["well_known", "expires_in", "historical", "postcontent"];
const vendor = /^\.?(org\.matrix|io\.element|uk|fi|im|us|dev)\./;

/** Without fields that the specification does not have, or not of all servers, and without those that are null. */
function withoutAdditions(answer: Compared): Compared {
  const walk = (value: unknown, said = false): unknown => {
    if (Array.isArray(value))
      return value.filter((item) => !isVendorRule(item)).map((item) => walk(item, said));
    if (!isObject(value)) return value;
    const isEvent = "event_id" in value && "sender" in value && "type" in value;
    const kept = Object.entries(value).filter(
      ([key, inner]) =>
        // What a user has said may be null.
        (inner !== null || said) &&
        !vendor.test(key) &&
        !ofProposals.includes(key) &&
        !(isEvent && ofOldEvents.includes(key)),
    );
    return Object.fromEntries(kept.map(([key, inner]) => [key, walk(inner, said || key === "content")]));
  };
  return walk(answer) as Compared;
}

/** A push rule of the server's own, beside those that the specification predefines. */
const isVendorRule = (item: unknown): boolean =>
  isObject(item) && typeof item.rule_id === "string" && vendor.test(item.rule_id);

const hasField = ({ body }: Compared, field: string) => isObject(body) && field in body;

const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null;

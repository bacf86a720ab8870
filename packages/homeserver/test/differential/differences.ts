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
    level: (synapse, ours) => [withoutNulls(synapse), ours],
  },
  {
    name: "what each server supports",
    reason:
      "versions, capabilities, login flows: each says what it can do; ours serves one room version and passwords",
    specification: `${spec}/client-server-api/#get_matrixclientversions`,
    level: (synapse, ours, { call }) =>
      /GET (\/_matrix\/client\/versions|\/capabilities|\/login)$/.test(call) && synapse.status === ours.status
        ? [{ status: 200 }, { status: 200 }]
        : [synapse, ours],
  },
  {
    name: "the code of a malformed request",
    reason: "Synapse says M_UNKNOWN, or fails with 500, where it checks by hand; ours names what is wrong",
    specification: `${spec}/client-server-api/#common-error-codes`,
    level: (synapse, ours) =>
      (synapse.status === 400 || synapse.status === 500) &&
      errcode(synapse) === "M_UNKNOWN" &&
      ours.status === 400 &&
      malformed.has(errcode(ours))
        ? [{ status: 400 }, { status: 400 }]
        : [synapse, ours],
  },
  {
    name: "power level of Synapse's own making",
    reason: "`historical` is what remains of a proposal that was withdrawn",
    specification: `${spec}/client-server-api/#mroompower_levels`,
    level: (synapse, ours) => [without(synapse, "historical"), ours],
  },
];

const malformed = new Set(["M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM", "M_NOT_JSON"]);

function errcode({ body }: Compared): string {
  return typeof body === "object" && body !== null && "errcode" in body ? String(body.errcode) : "";
}

function withoutNulls(answer: Compared): Compared {
  return JSON.parse(
    JSON.stringify(answer, (_key, value) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null))
        : value,
    ),
  );
}

function without(answer: Compared, field: string): Compared {
  return JSON.parse(JSON.stringify(answer, (key, value) => (key === field ? undefined : value)));
}

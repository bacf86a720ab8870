import type { HomeserverKind } from "../../../../scripts/homeservers.ts";

/** Where an answer may contradict the OpenAPI document: at most ten, each with what the specification says. */
export interface Deviation {
  of: HomeserverKind | "both";
  /** Of a problem as the validated client words it. */
  problem: RegExp;
  reason: string;
  specification: string;
}

const spec = "https://spec.matrix.org/v1.16/client-server-api";

export const deviations: Deviation[] = [
  {
    of: "both",
    problem: /\/state\/\{eventType\}\/\{stateKey\} 200: the body must match exactly one schema in oneOf/,
    reason: "with format=event, every event is also the other alternative, a content: any object",
    specification: `${spec}/#get_matrixclientv3roomsroomidstateeventtypestatekey`,
  },
  {
    of: "synapse",
    problem: /\/(display_name|avatar_url|last_seen_ip|last_seen_ts) must be (string|integer)/,
    reason: "Synapse sends null where a field has no value",
    specification: `${spec}/#get_matrixclientv3devices`,
  },
  {
    of: "both",
    problem: /GET \/_matrix\/client\/v3\/voip\/turnServer 200: the body must have required property/,
    reason:
      "{} where there is no TURN server, as clients know it from Synapse; the schema knows no such case",
    specification: `${spec}/#get_matrixclientv3voipturnserver`,
  },
];

/** The problems of a server's answers that are not among its deviations. */
export function unexpected(problems: readonly string[], kind: HomeserverKind): string[] {
  const own = deviations.filter(({ of }) => of === kind || of === "both");
  return problems.filter((problem) => !own.some((deviation) => deviation.problem.test(problem)));
}

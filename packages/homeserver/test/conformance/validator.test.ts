import { describe, expect, test } from "vitest";
import { differences } from "../differential/differences.ts";
import { Conformance, outsideData, outsideDataMissing } from "../support/validated-client.ts";
import { deviations } from "./deviations.ts";

test("where answers may contradict the specification, or differ from Synapse's, is few places, each with its reason", () => {
  for (const list of [deviations, differences]) {
    expect(list.length).toBeLessThanOrEqual(10);
    expect(new Set(list.map(({ specification, reason }) => specification + reason)).size).toBe(list.length);
    for (const { reason, specification } of list) {
      expect(reason.length).toBeGreaterThan(20);
      expect(specification).toMatch(/^https:\/\/spec\.matrix\.org\/v1\.\d+\/\S+#\S+$/);
    }
  }
});

describe("the check against the OpenAPI document", () => {
  const checking = (name: string, check: (conformance: Conformance) => void) =>
    test(name, ({ skip }) => {
      if (!outsideData) skip(outsideDataMissing);
      check(new Conformance());
    });

  checking("lets a right answer pass", (conformance) => {
    const body = { user_id: "@alice:localhost", device_id: "A" };
    expect(conformance.problems("GET", "/_matrix/client/v3/account/whoami", 200, body)).toEqual([]);
  });

  checking("finds a field that is missing, and one of the wrong type or format", (conformance) => {
    const whoami = (body: unknown) =>
      conformance.problems("GET", "/_matrix/client/v3/account/whoami", 200, body);
    expect(whoami({})).toHaveLength(1);
    expect(whoami({ user_id: 7 })).not.toEqual([]);
    expect(whoami({ user_id: "alice" })).not.toEqual([]);
    expect(whoami(undefined)).not.toEqual([]);
  });

  checking("finds a status that the endpoint does not have", (conformance) => {
    expect(conformance.problems("GET", "/_matrix/client/versions", 204, undefined)).toHaveLength(1);
    expect(conformance.problems("GET", "/_matrix/client/v3/sync?timeout=0", 302, {})).toHaveLength(1);
  });

  checking(
    "wants an errcode in every refusal, and flows where more authentication is asked for",
    (conformance) => {
      const send = "/_matrix/client/v3/rooms/!a:localhost/send/m.room.message/t1";
      expect(conformance.problems("PUT", send, 403, { errcode: "M_FORBIDDEN", error: "no" })).toEqual([]);
      expect(conformance.problems("PUT", send, 403, { error: "no" })).not.toEqual([]);
      const password = "/_matrix/client/v3/account/password";
      expect(
        conformance.problems("POST", password, 401, { flows: [{ stages: "m.login.password" }] }),
      ).not.toEqual([]);
    },
  );

  checking("wants what is not in the specification to be refused", (conformance) => {
    const path = "/_matrix/client/v3/nothing";
    expect(conformance.problems("GET", path, 200, {})).toHaveLength(1);
    expect(conformance.problems("GET", path, 404, { errcode: "M_UNRECOGNIZED", error: "no" })).toEqual([]);
  });

  checking("tells a state event's content from the whole state", (conformance) => {
    const room = "/_matrix/client/v3/rooms/!a:localhost";
    expect(conformance.problems("GET", `${room}/state`, 200, {})).not.toEqual([]);
    expect(conformance.problems("GET", `${room}/state/m.room.topic`, 200, { topic: "x" })).toEqual([]);
    expect(conformance.problems("GET", `${room}/state/m.room.topic/`, 200, { topic: "x" })).toEqual([]);
  });
});

import { loadPolicy } from "@mx-agent/policy";
import pino from "pino";
import { expect, test } from "vitest";
import { AGAIN, admit } from "../../src/admit/admit.ts";
import { Revocations } from "../../src/run/revocations.ts";
import type { Execution } from "../../src/state/executions.ts";
import { ALICE, eventOf, machine, policyText, ROOM, request, signed, worldOf } from "../admit/support.ts";

const policyWith = (lines: string) => loadPolicy(`${policyText}${lines}`, "policy.toml", machine);
const before = policyWith("max_concurrent = 2\n");

function running(run_id: string, argument: string): Execution {
  const event = eventOf(signed(request({ command: ["sh", argument] })));
  const admission = admit(event, worldOf({ policy: before }), AGAIN);
  if (admission.outcome !== "admitted") throw new Error(JSON.stringify(admission));
  const { grant: granted } = admission.admitted;
  const known = { run_id, room_id: ROOM, sender: ALICE, granted, event: JSON.stringify(event) };
  return { ...known, invocation_id: run_id } as Execution;
}

function endedUnder(lines: string): string[] {
  const ended: string[] = [];
  const revocations = new Revocations({
    executions: { inState: () => [running("first", "a"), running("second", "b")] },
    world: () => worldOf({ policy: policyWith(lines) }),
    cancel: async (run_id) => {
      ended.push(run_id);
    },
    readPolicy: () => {},
    audit: { ended: () => {} },
    logger: pino({ level: "silent" }),
  });
  revocations.check();
  revocations.close();
  return ended;
}

test("of more runs than there may be now the later ones end, and one that ends for itself makes room for another", () => {
  expect(endedUnder("max_concurrent = 2\n")).toEqual([]);
  expect(endedUnder("max_concurrent = 1\n")).toEqual(["second"]);
  expect(endedUnder("max_concurrent = 1\ndeny_args_regex = ['a']\n")).toEqual(["first"]);
});

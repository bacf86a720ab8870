/** `doctor` and `status` of a machine that works, and of one whose homeserver has gone. */
import { afterEach, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { closeAll, type Machine, startMachine } from "../support/machine.ts";

let homeserver: TestHomeserver | undefined;
let machine: Machine | undefined;
afterEach(async () => {
  await closeAll([machine]);
  await homeserver?.close();
});

interface Finding {
  check: string;
  level: string;
  detail: string;
}

async function doctor(of: Machine): Promise<{ code: number | null; findings: Finding[] }> {
  const { code, stdout } = await of.run(["doctor", "--json"]);
  return { code, findings: JSON.parse(stdout).findings };
}

test("doctor says what the homeserver is and allows, and finds that it has gone", async () => {
  homeserver = await startHomeserverForTests();
  machine = await startMachine({ name: "laptop", homeserver });
  const here = machine;
  await eventually(async () => {
    const { sync } = await here.ask<{ sync: { state: string } }>(["daemon", "status"]);
    return sync.state === "healthy";
  });
  const well = await doctor(here);
  expect(well.findings.filter(({ level }) => level === "error")).toEqual([]);
  expect(well.code).toBe(0);
  const found = (check: string) => well.findings.find((one) => one.check === check);
  expect(found("homeserver")?.detail).toMatch(/(Synapse[ /]\d|the embedded homeserver).*uploads up to \d/);
  expect(found("clock")).toMatchObject({ level: "ok" });
  expect(found("login")?.detail).toContain(here.user);

  await homeserver.close();
  homeserver = undefined;
  const gone = await doctor(here);
  expect(gone.code).toBe(3);
  expect(gone.findings.find(({ check }) => check === "homeserver")).toMatchObject({ level: "error" });
  // With the daemon gone too, what can be found out without it is still said.
  await here.ask(["daemon", "stop"]);
  const alone = await doctor(here);
  expect(alone.findings.filter(({ level }) => level === "error").map(({ check }) => check)).toEqual([
    "daemon",
  ]);
});

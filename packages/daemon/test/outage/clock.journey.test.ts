/** The clock of a machine jumps an hour while its daemon works. */
import { writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import type { Machine } from "../../../cli/test/support/machine.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box } from "../crash/support/box.ts";

const HOUR_MS = 3_600_000;
const preload = fileURLToPath(new URL("support/clock.ts", import.meta.url));

let they: TwoDaemons;
let files = 0;
beforeAll(async () => {
  they = await twoDaemons();
  for (const machine of [they.laptop, they.builder]) {
    const box = await Box.of(machine);
    await box.kill();
    await box.killRunner();
    setClock(machine, 0);
    Object.assign(machine.env, { NODE_OPTIONS: `--import=${preload}`, MX_TEST_CLOCK: clockOf(machine) });
    await machine.startDaemon();
  }
});
afterAll(() => they?.close());

const clockOf = (machine: Machine) => join(machine.home, "clock");
const setClock = (machine: Machine, ms: number) => writeFileSync(clockOf(machine), String(ms));

/** A command that says `before`, waits to be told to go on, and says `after`. */
function patient() {
  const go = join(they.project, `go-${++files}`);
  const wait = `n=0; while [ ! -e ${go} ] && [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.1; done`;
  const words = ["sh", "-c", `echo before; ${wait}; echo after; exit 3`];
  const live = they.execLive(words, ["--stdin", "none", "--timeout", "10m"]);
  return { live, goOn: () => writeFile(go, "") };
}

const complete = { code: 3, stdout: "before\nafter\n" };

// Back before ahead: the latest time that a daemon has seen counts from then on.
describe.each([
  ["back", -HOUR_MS],
  ["ahead", HOUR_MS],
])("a clock that jumps an hour %s", (_, ms) => {
  test("on the executing side ends no run, and cuts off no output", async () => {
    const { live, goOn } = patient();
    await live.until("before");
    setClock(they.builder, ms);
    await goOn();
    expect(await live.ended).toMatchObject(complete);
    setClock(they.builder, 0);
  });

  test("on the asking side loses no output and no outcome", async () => {
    // What it asks for must be of the executing side's hour.
    setClock(they.laptop, ms > 0 ? ms : 0);
    const { live, goOn } = patient();
    await live.until("before");
    setClock(they.laptop, ms > 0 ? 2 * ms : ms);
    await goOn();
    expect(await live.ended).toMatchObject(complete);
    setClock(they.laptop, 0);
  });
});

test("a caller whose clock jumps an hour ahead while the other machine is away waits no shorter", async () => {
  // Both have seen times that far ahead, and count from there.
  const builder = await Box.of(they.builder);
  setClock(they.laptop, 2 * HOUR_MS);
  setClock(they.builder, 2 * HOUR_MS);
  await builder.kill();
  const live = they.execLive(["echo", "in the end"], ["--stdin", "none"]);
  await eventually(async () => {
    const asked = await they.laptop.ask<{ state: string }[]>(["invocation", "list", "--running"]);
    return asked.some(({ state }) => state === "requested");
  });
  setClock(they.laptop, 3 * HOUR_MS);
  builder.start();
  expect(await live.ended).toMatchObject({ code: 0, stdout: "in the end\n" });
});

test("a request that is too old or too new by the other clock is refused, with what to look at", async () => {
  setClock(they.builder, 10 * HOUR_MS);
  const old = await they.exec(["echo", "never"]);
  expect([old.code, old.stdout]).toEqual([77, ""]);
  expect(old.stderr).toMatch(/expired[\s\S]*date -u/);
});

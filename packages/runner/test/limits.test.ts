import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../../scripts/eventually.ts";
import type { RunSpec } from "../src/index.ts";
import { boundedBomb } from "./support/bomb.ts";
import { processesWith, runner, type TestRunner } from "./support/harness.ts";

const MiB = 1024 * 1024;
let one: TestRunner;
beforeAll(async () => {
  one = await runner();
});
afterAll(() => one[Symbol.asyncDispose]());

const limited = (more: Partial<RunSpec["limits"]>) => ({ limits: { ...one.spec(["true"]).limits, ...more } });

describe("without a sandbox too", () => {
  it("a fork bomb is ended, to the last process", async () => {
    const mark = `mxnobomb${process.pid}x`;
    writeFileSync(join(one.project, "bomb.sh"), boundedBomb);
    const end = await one.run(["sh", "bomb.sh", mark], limited({ max_processes: 40 }));
    expect(end).toMatchObject({ outcome: "signaled", signal: "SIGKILL", error: { code: "LIMIT_PROCESSES" } });
    expect(processesWith(mark)).toEqual([]);
  });

  it("memory is counted over all processes of the run", async () => {
    const eat = "head -c 150000000 /dev/zero | tail -n 1 | (sleep 60)";
    const end = await one.sh(`(${eat}) & (${eat}) & wait`, limited({ max_memory_bytes: 200 * MiB }));
    expect(end).toMatchObject({ outcome: "signaled", error: { code: "LIMIT_MEMORY" } });
  });

  it("pages that processes share are not counted for each of them", async () => {
    const children = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 0.5 & done; wait";
    expect(await one.sh(children, limited({ max_memory_bytes: 16 * MiB }))).toMatchObject({
      outcome: "exited",
    });
  });

  it("CPU time is that of the children, too", async () => {
    const end = await one.sh(
      "timeout 60 sh -c 'while :; do :; done' & wait",
      limited({ max_cpu_seconds: 1 }),
    );
    expect(end).toMatchObject({ outcome: "signaled", error: { code: "LIMIT_CPU" } });
  });

  it("a run whose files cannot be limited does not start", async () => {
    expect(await one.sh("true", limited({ max_file_bytes: MiB }))).toMatchObject({
      outcome: "spawn_failed",
      error: { code: "LIMIT_UNAVAILABLE" },
    });
  });

  it("a run within its limits takes no notice of them", async () => {
    const within = limited({ max_processes: 20, max_memory_bytes: 500 * MiB, max_cpu_seconds: 60 });
    expect(await one.sh("sleep 0.3; echo done", within)).toMatchObject({
      outcome: "exited",
      stdout: "done\n",
      error: null,
    });
    await eventually(() => processesWith("sleep 0.3").length === 0);
  });
});

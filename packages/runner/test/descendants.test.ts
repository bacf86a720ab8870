import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../../scripts/eventually.ts";
import { processTable } from "../src/processes.ts";
import { childrenOf, processesWith, runner, type TestRunner } from "./support/harness.ts";

let one: TestRunner;
let words = 0;
beforeAll(async () => {
  one = await runner();
});
afterAll(() => one[Symbol.asyncDispose]());

/** A word that only one test's processes have on their command line. */
const word = () => `mxword${process.pid}x${++words}x`;

describe("ending a run ends", () => {
  it("what its command left in the background, and a pipe held open keeps nobody waiting", async () => {
    const mark = word();
    const end = await one.sh(`sh -c 'sleep 600; : ${mark}' & echo started`);
    expect(end).toMatchObject({ outcome: "exited", exit_code: 0, stdout: "started\n" });
    expect(processesWith(mark)).toEqual([]);
  });

  it("what called setsid and let go of every stream", async () => {
    const mark = word();
    const end = await one.sh(
      `setsid sh -c 'sleep 600; : ${mark}' </dev/null >/dev/null 2>&1 & sleep 0.1; echo started`,
    );
    expect(end.outcome).toBe("exited");
    expect(processesWith(mark)).toEqual([]);
  });

  it("a daemon that forked twice, whose parents are all gone, and none of the run beside it", async () => {
    const [mine, theirs] = [word(), word()];
    const daemon = (mark: string) =>
      `setsid sh -c "setsid sh -c 'trap \\"\\" TERM; while :; do sleep 0.1; done; : ${mark}' & exit" </dev/null >/dev/null 2>&1`;
    const beside = one.spec(["sh", "-c", `${daemon(theirs)}; echo up; exec sleep 600`]);
    await one.start(beside);
    await one.says(beside.run_id, "up");
    await eventually(() => processesWith(theirs).length > 0);
    const spec = one.spec(["sh", "-c", `${daemon(mine)}; echo up; exec sleep 600`]);
    await one.start(spec);
    await one.says(spec.run_id, "up");
    await eventually(() =>
      processesWith(mine).some((pid) => processTable().get(pid)?.ppid === one.client.pid),
    );
    await one.client.cancel(spec.run_id, 200);
    expect((await one.ended(spec.run_id)).outcome).toBe("cancelled");
    expect(processesWith(mine)).toEqual([]);
    expect(processesWith(theirs).length).toBeGreaterThan(0);
    await one.client.cancel(beside.run_id, 200);
    await one.ended(beside.run_id);
    expect(processesWith(theirs)).toEqual([]);
  });

  it("a daemon that hides: without its mark, its session, its streams and its parents; none of the run beside it", async () => {
    const [mine, theirs] = [word(), word()];
    writeFileSync(
      join(one.project, "hide.sh"),
      `[ -z "$2" ] || prlimit --pid $$ --locks=7:7
setsid sh -c "while :; do sleep 0.1; done; : $1" &
`,
    );
    const daemon = (mark: string, hidden = "") =>
      `setsid sh hide.sh ${mark} ${hidden} </dev/null >/dev/null 2>&1`;
    const isAdopted = (mark: string) =>
      processesWith(mark).some((pid) => processTable().get(pid)?.ppid === one.client.pid);
    const beside = one.spec(["sh", "-c", `${daemon(theirs)}; echo up; exec sleep 600`]);
    await one.start(beside);
    await eventually(() => isAdopted(theirs));
    const spec = one.spec(["sh", "-c", `${daemon(mine, "hidden")}; echo up; exec sleep 600`]);
    await one.start(spec);
    await eventually(() => isAdopted(mine));
    await one.client.cancel(spec.run_id, 200);
    expect((await one.ended(spec.run_id)).outcome).toBe("cancelled");
    expect(processesWith(mine)).toEqual([]);
    expect(isAdopted(theirs)).toBe(true);
    const after = await one.sh(
      `${daemon(mine, "hidden")}; until pgrep -f "[:] ${mine}"; do sleep 0.05; done`,
    );
    expect(after.outcome).toBe("exited");
    expect(processesWith(mine)).toEqual([]);
    await one.client.cancel(beside.run_id, 200);
    await one.ended(beside.run_id);
    expect(processesWith(theirs)).toEqual([]);
  });

  it("a whole tree that ignores SIGTERM", async () => {
    const mark = word();
    writeFileSync(
      join(one.project, "tree.sh"),
      "trap '' TERM\ncase $1 in 0) echo leaf;; *) sh tree.sh $(($1 - 1)) $2 & sh tree.sh $(($1 - 1)) $2 & ;; esac\nwhile :; do sleep 0.1; done\n",
    );
    const spec = one.spec(["sh", "tree.sh", "3", mark]);
    await one.start(spec);
    await eventually(async () => (await one.text(spec.run_id, "stdout")).split("leaf").length > 8);
    await one.client.cancel(spec.run_id, 100);
    expect((await one.ended(spec.run_id)).outcome).toBe("cancelled");
    expect(processesWith(mark)).toEqual([]);
  });

  it("and every process gets SIGTERM before SIGKILL", async () => {
    const spec = one.spec([
      "sh",
      "-c",
      "setsid sh -c 'trap \"echo inner; exit\" TERM; echo up; while :; do sleep 0.05; done' & trap 'wait; exit' TERM; wait",
    ]);
    await one.start(spec);
    await one.says(spec.run_id, "up");
    await one.client.cancel(spec.run_id);
    await one.ended(spec.run_id);
    expect(await one.text(spec.run_id, "stdout")).toContain("inner");
  });

  it("and leaves no zombie with the runner", async () => {
    await one.sh("for i in 1 2 3 4 5; do (setsid true &) ; done; exit 0");
    await eventually(() => childrenOf(one.client.pid).length === 0);
  });
});

describe("what a command leaves behind", () => {
  it("may still write its last bytes for a moment", async () => {
    const end = await one.sh("(sleep 0.3; echo late) & echo early");
    expect(end).toMatchObject({ outcome: "exited", stdout: "early\nlate\n" });
  });
});

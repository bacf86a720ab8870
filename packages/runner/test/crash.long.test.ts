/**
 * The runner, its guard or both are killed in random places, again and again, while runs come and go.
 * MX_TEST_SCALE=1 is 1,000 kills.
 */
import { randomInt } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { eventually } from "../../../scripts/eventually.ts";
import type { RunSpec } from "../src/index.ts";
import { processesWith, runner, sha256 } from "./support/harness.ts";

const KILLS = Math.max(5, Math.round(1000 * Number(process.env.MX_TEST_SCALE ?? "1")));
const RUNS_AT_ONCE = 4;

describe(`${KILLS} kills of a runner`, () => {
  it("start nothing twice, lose no outcome and leave no child behind", async () => {
    await using one = await runner();
    const mark = `mxcrash${process.pid}x`;
    let asked = 0;
    const spec = (): RunSpec => {
      const name = `r${++asked}`;
      const daemon = `setsid sh -c 'sleep 30; : ${mark}' </dev/null >/dev/null 2>&1 &`;
      const script = `echo x >> ${name}; ${asked % 2 === 0 ? daemon : ""} echo out; sleep 0.${randomInt(1, 9)}; echo ${mark}`;
      return one.spec(["sh", "-c", script], { run_id: name });
    };
    for (let kill = 0; kill < KILLS; kill++) {
      const closed = new Promise<void>((resolve) => one.client.on("closed", resolve));
      const specs = Array.from({ length: RUNS_AT_ONCE }, spec);
      const starting = specs.map((each) => one.start(each).catch(() => undefined));
      await wait(randomInt(0, 400));
      const guard = one.guard_pid;
      const victim = randomInt(3);
      if (victim !== 0 && guard > 1) process.kill(guard, "SIGKILL");
      if (victim !== 1) process.kill(one.client.pid, "SIGKILL");
      await closed;
      await Promise.all(starting);

      await one.connect();
      const states = new Map((await one.client.list()).map((state) => [state.run_id, state]));
      const exited: string[] = [];
      for (const each of specs) {
        const known = states.has(each.run_id);
        const end = (await one.start(each)).end ?? (await one.ended(each.run_id));
        expect(["exited", "interrupted"], each.run_id).toContain(end.outcome);
        if (!known) expect(end.outcome, `${each.run_id} was never started`).toBe("exited");
        if (end.outcome === "exited") exited.push(`${each.run_id} 1`);
        expect(sha256(await one.bytes(each.run_id, "stdout")), each.run_id).toBe(end.stdout_sha256);
        await one.client.forget(each.run_id);
      }
      await eventually(() => processesWith(mark).length === 0);
      // A line for each time that a run was started. Who is killed may have made the file and not written yet.
      const counts = await one.sh(
        'for f in r*; do [ -e $f ] || continue; echo "$f $(grep -c x $f)"; rm $f; done; true',
      );
      const lines = counts.stdout.split("\n").filter((line) => line !== "");
      expect(
        lines.filter((line) => !/ [01]$/.test(line)),
        "started twice",
      ).toEqual([]);
      expect(lines).toEqual(expect.arrayContaining(exited));
      await one.client.forget(counts.run_id);
    }
    expect(await one.client.list()).toEqual([]);
  });
});

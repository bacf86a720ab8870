/**
 * Limits by cgroups of version 2, on a machine that has them. Where it does not, scripts/test-cgroups.sh runs this
 * file under a kernel of its own.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { probeMachine, type SandboxRequest } from "@mx-agent/sandbox";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../../scripts/eventually.ts";
import type { RunSpec } from "../src/index.ts";
import { boundedBomb } from "./support/bomb.ts";
import { cgroupPlace, delegate, removeGroup } from "./support/cgroup-place.ts";
import { nobody, processesWith, runner, self, type TestRunner } from "./support/harness.ts";

const place = cgroupPlace();
const { bubblewrap } = await probeMachine();
const MiB = 1024 * 1024;
const users = self.uid === 0 ? [self, nobody] : [self];

describe.skipIf(typeof place === "string").each(users)(
  "a runner of uid $uid in a delegated cgroup",
  (who) => {
    let one: TestRunner;
    let group: string;

    beforeAll(async () => {
      if (typeof place === "string") return;
      const delegated = delegate(place.parent, who);
      group = delegated.group;
      one = await runner(delegated.user);
    });
    afterEach(async () => {
      const after = await one.sh("echo fine", limited({ max_memory_bytes: 64 * MiB, max_processes: 20 }));
      expect(after).toMatchObject({ outcome: "exited", stdout: "fine\n", error: null });
      expect(groups()).toEqual(["mx-agent"]);
    });
    afterAll(async () => {
      await one?.[Symbol.asyncDispose]();
      if (group) await removeGroup(group, ["mx-agent"]);
    });

    const limited = (limits: Partial<RunSpec["limits"]>, more: Partial<RunSpec> = {}) => ({
      ...more,
      limits: { ...one.spec(["true"]).limits, ...limits },
    });
    const groups = () =>
      readdirSync(group, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name);
    const sandbox = (): SandboxRequest => ({
      backend: "bubblewrap",
      network: "deny",
      writable_paths: [one.project],
      read_only_paths: [],
      hidden_paths: [],
    });
    const backends = bubblewrap.available ? ["none", "bubblewrap"] : ["none"];

    it("says nothing of a watch", () => {
      expect(one.log()).not.toContain("limited by a watch");
    });

    it.each(backends)(
      "holds a run's memory, over all its processes, with the kernel's hand: %s",
      async (backend) => {
        const eat = "head -c 60000000 /dev/zero | tail -n 1 | (sleep 60)";
        const more = backend === "none" ? {} : { sandbox: sandbox() };
        const end = await one.sh(`(${eat}) & (${eat}) & wait`, limited({ max_memory_bytes: 80 * MiB }, more));
        expect(end).toMatchObject({
          outcome: "signaled",
          signal: "SIGKILL",
          error: { code: "LIMIT_MEMORY" },
        });
        const enough = await one.sh(
          "head -c 30000000 /dev/zero | tail -n 1 | wc -c",
          limited({ max_memory_bytes: 80 * MiB }, more),
        );
        expect(enough).toMatchObject({ outcome: "exited", exit_code: 0 });
      },
    );

    it.each(backends)("ends a fork bomb, to the last process: %s", async (backend) => {
      const mark = `mxcgroupbomb${process.pid}x${who.uid}`;
      writeFileSync(join(one.project, "bomb.sh"), boundedBomb);
      const more = backend === "none" ? {} : { sandbox: sandbox() };
      const end = await one.run(["sh", "bomb.sh", mark], limited({ max_processes: 40 }, more));
      expect(end).toMatchObject({
        outcome: "signaled",
        signal: "SIGKILL",
        error: { code: "LIMIT_PROCESSES" },
      });
      expect(processesWith(mark)).toEqual([]);
    });

    it("leaves a run of another's limits alone, and its runner alive below the smallest limit", async () => {
      const beside = one.spec(
        ["sh", "-c", "echo up; exec sleep 600"],
        limited({ max_memory_bytes: 32 * MiB }),
      );
      await one.start(beside);
      await one.says(beside.run_id, "up");
      const { pid } = one.client;
      const tiny = await one.sh("echo x", limited({ max_memory_bytes: 4096, max_processes: 1 }));
      expect(tiny).toMatchObject({ outcome: "signaled", error: { code: "LIMIT_MEMORY" } });
      expect(one.client.pid).toBe(pid);
      await one.client.cancel(beside.run_id, 100);
      expect((await one.ended(beside.run_id)).outcome).toBe("cancelled");
    });

    it("leaves nothing of a run behind that called setsid, nor its group", async () => {
      const mark = `mxcgroupleft${process.pid}x${who.uid}`;
      await one.sh(
        `setsid sh -c 'trap "" TERM; sleep 600; : ${mark}' </dev/null >/dev/null 2>&1 & sleep 0.1`,
        limited({ max_processes: 20 }),
      );
      expect(processesWith(mark)).toEqual([]);
    });

    it("removes what a runner that was killed has left there", async () => {
      const spec = one.spec(["sleep", "600"], limited({ max_processes: 20 }));
      await one.start(spec);
      expect(groups()).toHaveLength(2);
      process.kill(one.client.pid, "SIGKILL");
      await eventually(() => processesWith(one.socket).length === 0);
      await one.connect();
      await eventually(async () => {
        await one.sh("true", limited({ max_processes: 20 }));
        return groups().length === 1;
      });
    });
  },
);

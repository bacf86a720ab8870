import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sha256, TestRunner } from "./support/harness.ts";

const MiB = 1024 * 1024;
const root = process.getuid?.() === 0;
const mounts = root && spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0;
const notRun = mounts ? "" : " (NOT RUN: only root can make a small file system to fill)";

/** A runner whose directory is a file system of `mebibytes`. */
async function smallDisk(mebibytes: number): Promise<TestRunner & { unmount(): void }> {
  const one = new TestRunner();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=700`, "none", one.dir]);
  if (mounted.status !== 0) throw new Error(mounted.stderr.toString());
  await one.connect();
  return Object.assign(one, { unmount: () => void spawnSync("umount", [one.dir]) });
}

describe.skipIf(!mounts)(`a disk that is full${notRun}`, () => {
  it("in the middle of the output ends the run, keeps what fits, and loses no outcome", async () => {
    const one = await smallDisk(4);
    try {
      const spec = one.spec(["sh", "-c", "yes | head -c 100000000"]);
      await one.start(spec);
      const end = await one.ended(spec.run_id);
      expect(end).toMatchObject({ outcome: "output_limit", truncated: true, error: { code: "ENOSPC" } });
      expect(end.stdout_bytes).toBeGreaterThan(2 * MiB);
      expect(sha256(await one.bytes(spec.run_id, "stdout"))).toBe(end.stdout_sha256);

      await expect(one.start(one.spec(["sh", "-c", "touch ran"]))).rejects.toMatchObject({
        code: "MX_CANNOT_WRITE",
      });
      await one.client.forget(spec.run_id);
      expect((await one.sh("ls")).stdout).toBe("");
      await one.stop();
    } finally {
      one.unmount();
    }
  });

  it("when a run is to be started starts nothing, and the same id can be asked for again", async () => {
    const one = await smallDisk(1);
    try {
      const filler = join(one.dir, "filler");
      const fill = spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4096"]);
      expect(fill.stderr.toString()).toContain("No space");
      const spec = one.spec(["sh", "-c", "echo ran >> ran"]);
      await expect(one.start(spec)).rejects.toMatchObject({ code: "MX_CANNOT_WRITE" });
      expect(await one.client.list()).toEqual([]);
      writeFileSync(filler, "");
      await one.start(spec);
      expect((await one.ended(spec.run_id)).outcome).toBe("exited");
      expect((await one.sh("cat ran")).stdout).toBe("ran\n");
      await one.stop();
    } finally {
      one.unmount();
    }
  });

  it("that becomes read-only starts nothing", async () => {
    const one = await smallDisk(4);
    try {
      // Read-only at its mount: the file system as a whole has files open for writing.
      const runs = join(one.dir, "runs");
      spawnSync("mount", ["--bind", runs, runs]);
      spawnSync("mount", ["-o", "remount,bind,ro", runs]);
      const spec = one.spec(["sh", "-c", "echo ran >> ran"]);
      const refused = await one.start(spec).then(
        () => "started",
        (error) => Object(error).code,
      );
      spawnSync("umount", [runs]);
      expect(refused).toBe("MX_CANNOT_WRITE");
      expect((await one.sh("ls")).stdout).toBe("");
      await one.stop();
    } finally {
      one.unmount();
    }
  });
});

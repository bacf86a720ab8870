/** The disk under a running daemon takes no more new files, as after an error of the file system. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box } from "../crash/support/box.ts";

const mounts =
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0;

describe.skipIf(!mounts)(`a home that becomes read-only${mounts ? "" : " (NOT RUN: only root can)"}`, () => {
  let they: TwoDaemons;
  beforeAll(async () => {
    they = await twoDaemons();
  });
  afterAll(() => they?.close());

  /** Files that are open for writing stay so; all others, and new ones, are not. */
  function readOnly(dir: string): () => void {
    mount("--bind", dir, dir);
    mount("-o", "remount,bind,ro", dir);
    return () => void spawnSync("umount", [dir]);
  }

  test("runs nothing, tells both sides why, and goes on once it can be written again", async () => {
    const ran = join(they.project, "ran");
    const data = join(they.builder.home, "data");
    const writable = readOnly(data);
    try {
      const refused = await they.exec(["sh", "-c", `echo ran >> ${ran}`]);
      expect(refused.stderr).toContain("could not take the run on");
      expect(refused.code).toBe(126);

      const builder = await Box.of(they.builder);
      await builder.kill();
      await builder.killRunner();
      const started = await they.builder.run(["daemon", "start"]);
      expect(started.code).not.toBe(0);
      expect(started.stderr).toContain(data);
    } finally {
      writable();
    }
    await they.builder.startDaemon();
    expect(await they.exec(["echo", "again"])).toMatchObject({ code: 0, stdout: "again\n" });
    expect(existsSync(ran)).toBe(false);
  });
});

function mount(...args: string[]): void {
  const { status, stderr } = spawnSync("mount", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}

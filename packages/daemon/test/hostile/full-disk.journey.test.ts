/**
 * The disk is full when the audit line is due: nothing runs, both sides are told, and with room again what is asked
 * runs. The audit log, or all that the builder keeps, lies on a small file system of its own for that.
 */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { EventTypes } from "@mx-agent/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { Box } from "../crash/support/box.ts";
import { isAbout, type Stage, setTheStage } from "./support/stage.ts";

const REQUEST = EventTypes.execRequest;

const mounts =
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0;

describe.skipIf(!mounts)(`a full disk${mounts ? "" : " (NOT RUN: only root can)"}`, () => {
  let stage: Stage;
  let audit: string;
  beforeAll(async () => {
    stage = await setTheStage();
    audit = join(stage.builder.home, "data", "audit");
    const builder = await Box.of(stage.builder);
    await builder.stop();
    onSmallDisk(audit, "1m");
    builder.start();
    await builder.answers();
  });
  afterAll(async () => {
    if (stage === undefined) return;
    await stage.builder.run(["down"]);
    for (const dir of [audit, join(stage.builder.home, "data")]) await eventually(() => unmounted(dir));
    await stage.close();
  });

  /** Sends requests as one after another, and answers what each was told. */
  async function ask(...marks: string[]) {
    const { alice, room, request } = stage;
    const contents = marks.map((mark) => request(mark, { command: longCommand(mark) }));
    for (const content of contents) await alice.send(room, REQUEST, alice.sign(room, REQUEST, content));
    const answers = contents.map((content) =>
      alice.until(isAbout(content, EventTypes.execRejected, EventTypes.execFinished)),
    );
    return {
      contents,
      answers: (await Promise.all(answers)).map(({ type, content }) => ({ type, ...content })),
    };
  }

  test("runs nothing of what comes, says so on both sides, and leaves a whole record", async () => {
    await stage.legitimate("before");
    const filler = fill(audit);
    const { contents, answers } = await ask("one", "two", "three");
    for (const answer of answers)
      expect(answer).toMatchObject({
        type: EventTypes.execRejected,
        reason: "over_capacity",
        detail: expect.stringContaining("cannot write its audit log"),
      });
    expect(await stage.ran()).toEqual(["before"]);
    expect(logged()).toContain("a decision could not be written; nothing was run");
    rmSync(filler);

    // What was refused burned nothing, and what is asked now runs.
    const [first] = contents;
    if (first) await stage.alice.send(stage.room, REQUEST, stage.alice.sign(stage.room, REQUEST, first));
    await stage.alice.until(isAbout(first ?? {}, EventTypes.execFinished));
    await stage.legitimate("after");
    expect(await stage.ran()).toEqual(["before", "one", "after"]);
    expect((await stage.builder.run(["audit", "verify"])).code).toBe(0);
    const decided = (await stage.audit()).filter(({ kind }) => kind === "decision");
    expect(decided.map(({ decision }) => decision)).toEqual(["allow", "allow", "allow"]);
  });

  test("under everything that the builder keeps ends its daemon; once there is room what was asked runs, once", async () => {
    const { alice, room, request, builder } = stage;
    const data = join(builder.home, "data");
    const box = await Box.of(builder);
    await box.stop();
    // Its own disk goes; the log stays, of which the daemon remembers the last line.
    spawnSync("cp", ["-a", audit, `${audit}.kept`]);
    await eventually(() => unmounted(audit));
    rmSync(audit, { recursive: true });
    renameSync(`${audit}.kept`, audit);
    onSmallDisk(data, "24m");
    box.start();
    await box.answers();
    await stage.legitimate("with room");
    const filler = fill(data);
    const content = request("when it was full", { command: longCommand("when it was full") });
    await alice.send(room, REQUEST, alice.sign(room, REQUEST, content));
    // It cannot keep what it is told, so that it takes nothing more: the homeserver keeps it.
    await box.died;
    expect((await stage.ran()).at(-1)).toBe("with room");
    rmSync(filler);
    box.start();
    await alice.until(isAbout(content, EventTypes.execFinished));
    await stage.legitimate("with room again");
    expect((await stage.ran()).slice(-3)).toEqual(["with room", "when it was full", "with room again"]);
    const verified = await builder.run(["audit", "verify"]);
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);
  });

  const logged = () =>
    spawnSync("cat", [join(stage.builder.home, "data", "daemon.log")], { encoding: "utf8" }).stdout;
});

/** So long that its line needs a block of its own: what there is left of the last one would take a short line. */
function longCommand(mark: string): string[] {
  return ["sh", "-c", 'echo "$0" >> ran', mark, "x".repeat(5_000)];
}

/** Puts a directory, with what is in it, on a file system of that size. */
function onSmallDisk(dir: string, size: string): void {
  renameSync(dir, `${dir}.aside`);
  spawnSync("mkdir", ["-m", "700", dir]);
  const { status, stderr } = spawnSync(
    "mount",
    ["-t", "tmpfs", "-o", `size=${size},mode=0700`, "none", dir],
    {
      encoding: "utf8",
    },
  );
  if (status !== 0) throw new Error(stderr);
  spawnSync("cp", ["-a", `${dir}.aside/.`, dir]);
}

/** Whether nothing is mounted there any more. What has ended may hold its files for a moment longer. */
function unmounted(dir: string): boolean {
  spawnSync("umount", [dir]);
  return spawnSync("mountpoint", ["-q", dir]).status !== 0;
}

/** Takes what room there is, to the last block. */
function fill(dir: string): string {
  const file = join(dir, "filler");
  const fd = openSync(file, "w");
  try {
    for (;;) writeSync(fd, Buffer.alloc(65_536));
  } catch {
    return file;
  } finally {
    closeSync(fd);
  }
}

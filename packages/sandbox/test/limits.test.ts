/** What is found out about cgroups, from the files of machines that this one is not. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { probeLimits } from "../src/index.ts";

let home: string;
let group: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "mx-cgroup-"));
  group = join(home, "fs", "mine");
});
afterEach(() => {
  rmSync(home, { recursive: true });
});

interface Files {
  controllers?: string;
  procs?: number[];
  /** Of this process, below the mount. */
  path?: string;
  mountinfo?: string;
  isRoot?: boolean;
}

/** Process 30, a child of 20, which is one of 1. */
function probe(files: Files = {}) {
  const proc = join(home, "proc");
  mkdirSync(join(proc, "self"), { recursive: true });
  mkdirSync(group, { recursive: true });
  const mount = files.mountinfo ?? `30 20 0:26 / ${join(home, "fs")} rw,nosuid - cgroup2 cgroup2 rw`;
  writeFileSync(join(proc, "self", "mountinfo"), `20 1 0:5 / /dev rw - devtmpfs dev rw\n${mount}\n`);
  for (const [pid, parent] of [
    [30, 20],
    [20, 1],
    [1, 0],
    [99, 1],
  ]) {
    mkdirSync(join(proc, String(pid)), { recursive: true });
    writeFileSync(join(proc, String(pid), "stat"), `${pid} (a (b) c) S ${parent} 1 1 0`);
  }
  writeFileSync(join(proc, "30", "cgroup"), `4:memory:/v1\n0::${files.path ?? "/mine"}\n`);
  writeFileSync(join(group, "cgroup.controllers"), files.controllers ?? "cpu io memory pids");
  writeFileSync(join(group, "cgroup.procs"), (files.procs ?? [20, 30]).join("\n"));
  writeFileSync(join(group, "cgroup.subtree_control"), "");
  if (!files.isRoot) writeFileSync(join(group, "cgroup.type"), "domain");
  return probeLimits({ proc, pid: 30 });
}

describe("limits are a cgroup's", () => {
  it("where a group with the controllers is this process's and its ancestors' alone", async () => {
    expect(await probe()).toEqual({ kind: "cgroup", root: group });
  });

  it("and still where the runner has divided it", async () => {
    mkdirSync(join(group, "mx-agent"), { recursive: true });
    expect(await probe({ path: "/mine/mx-agent", procs: [] })).toEqual({ kind: "cgroup", root: group });
  });

  it("in the part of a service's group that systemd from 254 puts it in", async () => {
    group = join(home, "fs", "mx-agent.service");
    mkdirSync(join(group, "mx-agent"), { recursive: true });
    expect(await probe({ path: "/mx-agent.service/mx-agent", procs: [] })).toEqual({
      ...{ kind: "cgroup", root: group },
    });
  });
});

describe("limits are a watch's, which says why,", () => {
  it.each<[string, Files, RegExp]>([
    ["where there is no version 2", { mountinfo: "" }, /not mounted/],
    [
      "where another version has the controllers",
      { controllers: "cpu io" },
      /no controller for memory and pids/,
    ],
    ["where it is the root of all groups", { isRoot: true }, /root of all groups/],
    ["where others are in the group", { procs: [20, 30, 99] }, /other processes as well \(99\)/],
  ])("%s", async (_, files, reason) => {
    expect(await probe(files)).toMatchObject({ kind: "watch", reason: expect.stringMatching(reason) });
  });

  it("where it is a service's own, which systemd puts the next daemon into", async () => {
    group = join(home, "fs", "mx-agent.service");
    expect(await probe({ path: "/mx-agent.service" })).toMatchObject({
      ...{ kind: "watch", reason: expect.stringContaining("older than 254") },
    });
  });
});

import { spawnSync } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import { probeMachine } from "../src/index.ts";

const path = process.env.PATH;
afterEach(() => {
  process.env.PATH = path;
});

describe("probing the machine", () => {
  it("finds bubblewrap when it works, with its version and what it can do", async ({ skip }) => {
    const version = /bubblewrap (\S+)/.exec(spawnSync("bwrap", ["--version"]).stdout?.toString() ?? "")?.[1];
    if (version === undefined) skip("NOT RUN: this machine has no bubblewrap");
    const { bubblewrap } = await probeMachine();
    expect(bubblewrap).toMatchObject({ available: true, version });
  });

  it("says what to install where it is missing", async () => {
    process.env.PATH = "/nonexistent";
    expect((await probeMachine()).bubblewrap).toEqual({
      available: false,
      reason: "bwrap is not on PATH; install the package bubblewrap",
    });
  });

  it("says how limits are enforced, and why not better", async () => {
    const { limits } = await probeMachine();
    expect(limits.kind === "cgroup" ? limits.root : limits.reason).not.toBe("");
  });
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { descendsFrom, parents } from "../src/descent.ts";

// The way of macOS is tried on Linux: ps answers there as well.
const platforms = existsSync("/bin/ps") ? (["linux", "darwin"] as const) : (["linux"] as const);

describe.each(platforms)("who may use the operator's socket, on %s", (platform) => {
  test("is who does not come from the runner; what cannot be looked up may not", async () => {
    const child = spawn("sleep", ["60"]);
    await once(child, "spawn");
    const pid = child.pid ?? 0;
    try {
      expect(descendsFrom(pid, process.pid, parents(platform))).toBe(true);
      expect(descendsFrom(pid, process.ppid, parents(platform))).toBe(true);
      expect(descendsFrom(process.pid, process.pid, parents(platform))).toBe(true);
      expect(descendsFrom(process.pid, pid, parents(platform))).toBe(false);
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    expect(descendsFrom(pid, process.pid, parents(platform))).toBe(true);
  });
});

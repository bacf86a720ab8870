/** A group of version 2 in which a test may make others, where this machine lets it. */
import { chownSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { RunnerUser } from "./harness.ts";

const NEEDED = ["memory", "pids"];

/** MX_TEST_CGROUP, or the root of all groups for who may divide that. A string says why there is none. */
export function cgroupPlace(): { parent: string } | string {
  const parent = process.env.MX_TEST_CGROUP ?? "/sys/fs/cgroup";
  try {
    const controllers = readFileSync(join(parent, "cgroup.controllers"), "utf8").trim().split(" ");
    const missing = NEEDED.filter((name) => !controllers.includes(name));
    if (missing.length > 0) return `${parent} has no controller for ${missing.join(" and ")}`;
    writeFileSync(join(parent, "cgroup.subtree_control"), "+memory +pids\n");
    rmdirSync(mkdtempSync(join(parent, "mx-test-")));
    return { parent };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A group that is delegated to a user, and the words that start a command of that user's in it. */
export function delegate(parent: string, user: RunnerUser): { group: string; user: RunnerUser } {
  const group = mkdtempSync(join(parent, "mx-test-"));
  for (const name of ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"])
    chownSync(join(group, name), user.uid, user.uid);
  // A group that is divided already takes no processes of its own: a daemon that starts its next runner is in the leaf.
  const enter = `{ echo $$ > ${group}/mx-agent/cgroup.procs || echo $$ > ${group}/cgroup.procs; } 2>/dev/null`;
  return { group, user: { ...user, prefix: ["sh", "-c", `${enter} && exec "$@"`, "sh", ...user.prefix] } };
}

/** Removes a group and what is in it, once its processes are gone. */
export async function removeGroup(group: string, children: string[]): Promise<void> {
  for (let n = 0; n < 500; n++) {
    try {
      for (const child of children) rmdirSync(join(group, child));
      rmdirSync(group);
      return;
    } catch {
      await wait(20);
    }
  }
}

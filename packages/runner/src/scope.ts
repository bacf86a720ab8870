/** A group of the runner's own, asked of the user's systemd: there the kernel holds limits, and no unit's restart meets it. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { probeLimits } from "@mx-agent/sandbox";

/** What the decision hangs on; handed in by tests. */
export interface ScopePlace {
  /** As in /proc/PID/cgroup. */
  cgroup: string;
  uid: number;
  runtime_dir: string | undefined;
  /** Whether the user's systemd outlives the last logout. */
  lingers: boolean;
}

/**
 * What starts a command in a scope of the user's systemd (systemd-run(1)); null where there is none, or where it would
 * end sooner than this process: with the last logout, and all that it has.
 */
export function scopeIn({ cgroup, uid, runtime_dir, lingers }: ScopePlace): string[] | null {
  if (runtime_dir === undefined || !existsSync(join(runtime_dir, "systemd", "private"))) return null;
  const isItsOwn = new RegExp(`^0::/.*/user@${uid}\\.service/`, "m").test(cgroup);
  if (!isItsOwn && !lingers) return null;
  return [
    ...["systemd-run", "--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes"],
    ...[`--unit=mx-agent-runner-${randomBytes(4).toString("hex")}`, "--description=mx-agent: what it runs"],
    "--",
  ];
}

/** As `scopeIn`, here; null too where this process's group can be divided as it is. */
export async function ownScope(env: Readonly<Record<string, string | undefined>>): Promise<string[] | null> {
  const limits = await probeLimits();
  if (process.platform !== "linux" || limits.kind === "cgroup") return null;
  return scopeIn({
    cgroup: readFileSync("/proc/self/cgroup", "utf8"),
    uid: process.getuid?.() ?? -1,
    runtime_dir: env.XDG_RUNTIME_DIR,
    lingers: existsSync(join("/var/lib/systemd/linger", userInfo().username)),
  });
}

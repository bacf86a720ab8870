import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { MachineCapabilities } from "./api.ts";

/** Where the runner puts itself and its ancestors: a group whose children are limited has no processes of its own. */
export const LEAF = "mx-agent";

const NEEDED = ["memory", "pids"];

/** Whose groups are looked at: another process's, or in tests another machine's. */
export interface LimitsPlace {
  proc: string;
  pid: number;
}

const HERE: LimitsPlace = { proc: "/proc", pid: process.pid };

/**
 * Finds how memory and process limits can be enforced: by cgroups of version 2 where this process's group is
 * delegated to it, and else by a watch. Changes nothing.
 */
export async function probeLimits(place: LimitsPlace = HERE): Promise<MachineCapabilities["limits"]> {
  if (process.platform !== "linux") return { kind: "watch", reason: `no cgroups on ${process.platform}` };
  const found = delegatedGroup(place);
  return "reason" in found ? { kind: "watch", ...found } : { kind: "cgroup", root: found.group };
}

function delegatedGroup(place: LimitsPlace): { group: string } | { reason: string } {
  const mount = mountOf(place);
  const path = /^0::(\/.*)$/m.exec(read(join(place.proc, String(place.pid), "cgroup")) ?? "")?.[1];
  if (mount === undefined || path === undefined)
    return { reason: "cgroups of version 2 are not mounted here" };
  const own = join(mount, path);
  const group = own.endsWith(`/${LEAF}`) ? dirname(own) : own;
  const controllers = read(join(group, "cgroup.controllers"))?.trim().split(" ") ?? [];
  const missing = NEEDED.filter((name) => !controllers.includes(name));
  if (missing.length > 0)
    return { reason: `the cgroup ${group} has no controller for ${missing.join(" and ")}` };
  if (!existsSync(join(group, "cgroup.type")))
    return { reason: `${group} is the root of all groups, and nobody's to divide` };
  if (![group, join(group, "cgroup.procs"), join(group, "cgroup.subtree_control")].every(isWritable))
    return { reason: `the cgroup ${group} is not delegated to this user` };
  if (group === own && own.endsWith(".service"))
    return {
      reason: `systemd older than 254 cannot start ${basename(own)} again once its cgroup is divided`,
    };
  const strangers = strangersIn(group, place);
  return strangers.length === 0
    ? { group }
    : { reason: `the cgroup ${group} has other processes as well (${strangers.slice(0, 3).join(", ")})` };
}

/** Processes of a group that are neither this one nor one that it descends from. */
export function strangersIn(group: string, place: LimitsPlace = HERE): number[] {
  const family = new Set<number>();
  for (let pid = place.pid; pid > 0 && !family.has(pid); pid = parentOf(pid, place)) family.add(pid);
  return processesIn(group).filter((pid) => !family.has(pid));
}

export function processesIn(group: string): number[] {
  return (read(join(group, "cgroup.procs")) ?? "").split("\n").filter(Boolean).map(Number);
}

function parentOf(pid: number, { proc }: LimitsPlace): number {
  const stat = read(join(proc, String(pid), "stat")) ?? "";
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? 0);
}

function mountOf({ proc }: LimitsPlace): string | undefined {
  for (const line of (read(join(proc, "self", "mountinfo")) ?? "").split("\n")) {
    const [mount = "", kind = ""] = line.split(" - ");
    if (kind.startsWith("cgroup2 ")) return mount.split(" ")[4];
  }
  return undefined;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

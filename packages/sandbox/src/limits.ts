import type { MachineCapabilities } from "./api.ts";

/** Finds how memory and process limits can be enforced. */
export async function probeLimits(): Promise<MachineCapabilities["limits"]> {
  if (process.platform !== "linux") return { kind: "watch", reason: `no cgroups on ${process.platform}` };
  return { kind: "watch", reason: "no cgroup of version 2 is delegated to this user" };
}

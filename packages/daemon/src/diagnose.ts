import type { Diagnosis } from "@mx-agent/ipc";
import { probeMachine } from "@mx-agent/sandbox";
import type { Daemon } from "./daemon.ts";
import { inspectHomeserver } from "./matrix/inspect.ts";

/** What can be found out now about the homeserver and the machine, as the daemon sees them. */
export async function diagnose(daemon: Daemon): Promise<Diagnosis> {
  const credentials = daemon.account.credentials();
  const [homeserver, machine] = await Promise.all([
    credentials === undefined ? null : inspectHomeserver(globalThis.fetch, credentials),
    inspectMachine(),
  ]);
  return { homeserver, ...machine };
}

/** The backends and limits of this process's surroundings, found by trying. */
export async function inspectMachine(): Promise<Pick<Diagnosis, "bubblewrap" | "limits">> {
  const { bubblewrap, limits } = await probeMachine();
  return {
    bubblewrap: bubblewrap.available ? { available: true, version: bubblewrap.version } : bubblewrap,
    limits: limits.kind === "cgroup" ? { kind: "cgroup" } : limits,
  };
}

import type { Diagnosis, HomeserverFacts } from "@mx-agent/ipc";
import { probeMachine } from "@mx-agent/sandbox";
import type { Daemon } from "./daemon.ts";
import { inspectHomeserver } from "./matrix/inspect.ts";

/** What can be found out now about the homeserver and the machine, as the daemon sees them. */
export async function diagnose(daemon: Daemon): Promise<Diagnosis> {
  const [homeserver, machine] = await Promise.all([inspectLogin(daemon), inspectMachine(daemon.runner.pid)]);
  return { homeserver, ...machine };
}

async function inspectLogin(daemon: Daemon): Promise<HomeserverFacts | null> {
  const credentials = daemon.account.credentials();
  if (credentials === undefined) return null;
  const facts = await inspectHomeserver(globalThis.fetch, credentials);
  // A token that runs out is renewed when it is needed, and nothing may have needed it since.
  if (facts.login_accepted !== false || !credentials.oauth || !(await daemon.online?.session.renew()))
    return facts;
  return inspectHomeserver(globalThis.fetch, daemon.account.credentials() ?? credentials);
}

/** The backends of this process's surroundings, found by trying, and the limits of those of `pid`: a runner, or who would start it. */
export async function inspectMachine(pid?: number): Promise<Pick<Diagnosis, "bubblewrap" | "limits">> {
  const { bubblewrap, limits } = await probeMachine(pid);
  return {
    bubblewrap: bubblewrap.available ? { available: true, version: bubblewrap.version } : bubblewrap,
    limits: limits.kind === "cgroup" ? { kind: "cgroup" } : limits,
  };
}

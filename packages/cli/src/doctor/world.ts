/** What all checks look at: found out once. */
import { type Dirs, effectiveConfig, type MxError, toMxError } from "@mx-agent/base";
import type { AgentInfo, DaemonStatus, Diagnosis } from "@mx-agent/ipc";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { directories } from "../places.ts";

export interface World {
  cli: Cli;
  dirs: Dirs;
  /** The daemon's answer, or why there is none. */
  daemon: { up: true; status: DaemonStatus } | { up: false; error: MxError };
  diagnosis: Diagnosis;
  /** This machine's own fingerprint; null without a daemon or a login. */
  fingerprint: string | null;
  /** Agents of all workspaces; empty without a daemon or a login. */
  agents: AgentInfo[];
}

/** Asks the daemon, and finds out itself what it can where there is none. */
export async function lookAround(cli: Cli): Promise<World> {
  const daemon: World["daemon"] = await ask(cli, "daemon.status", {}).then(
    (status) => ({ up: true, status }),
    (error: unknown) => ({ up: false, error: toMxError(error) }),
  );
  const [diagnosis, fingerprint, agents] = await Promise.all([
    daemon.up ? ask(cli, "daemon.diagnose", {}).catch(() => alone(cli)) : alone(cli),
    daemon.up ? ask(cli, "trust.fingerprint", {}).then(({ fingerprint: own }) => own, nothing) : null,
    daemon.up ? ask(cli, "agent.list", { room: null, ping: false }).catch(() => []) : [],
  ]);
  return { cli, dirs: directories(cli.env), daemon, diagnosis, fingerprint, agents };
}

const nothing = () => null;

/** Without a daemon, or with an older one: the configured homeserver, as this process sees it. */
async function alone(cli: Cli): Promise<Diagnosis> {
  const { inspectHomeserver, inspectMachine } = await import("@mx-agent/daemon");
  const url = await configuredHomeserver(cli);
  const [homeserver, machine] = await Promise.all([
    url === null ? null : inspectHomeserver(globalThis.fetch, { homeserver: url, access_token: null }),
    inspectMachine(),
  ]);
  return { homeserver, ...machine };
}

async function configuredHomeserver(cli: Cli): Promise<string | null> {
  try {
    const { values } = await effectiveConfig({ configDir: directories(cli.env).config, env: cli.env });
    const url = values.homeserver;
    return url === null ? null : (url.includes("://") ? url : `https://${url}`).replace(/\/+$/, "");
  } catch {
    // A mistake in config.toml is a finding of the directories.
    return null;
  }
}

/** What `up` and `join` have in common: a daemon that runs, an agent of this machine, what the files say. */
import { resolve } from "node:path";
import { failpoint, MxError, mxError } from "@mx-agent/base";
import type { AgentInfo, DaemonStatus } from "@mx-agent/ipc";
import { isAgentId } from "@mx-agent/protocol/core";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { doing } from "./progress.ts";

export interface RunningDaemon {
  pid: number;
  started: boolean;
  account: DaemonStatus["account"];
}

export async function ensureDaemon(cli: Cli): Promise<RunningDaemon> {
  try {
    const { pid, account } = await ask(cli, "daemon.status", {});
    return { pid, account, started: false };
  } catch (error) {
    if (!(error instanceof MxError) || error.code !== "MX_DAEMON_UNREACHABLE") throw error;
  }
  await doing(cli, "starting the daemon");
  const { startDaemon } = await import("../background/daemon.ts");
  const { pid, account } = await startDaemon(cli);
  failpoint("setup.after_daemon");
  return { pid, account, started: true };
}

/** The agents of this machine in that workspace, or with null in all of them. */
export async function agentsHere(cli: Cli, room: string | null): Promise<AgentInfo[]> {
  return (await ask(cli, "agent.list", { room, ping: false })).filter((one) => one.mine);
}

/** MX_USAGE where an agent cannot have that name; before anything is done. */
export function checkAgentName(name: string | undefined): void {
  if (name === undefined || isAgentId(name)) return;
  throw mxError("MX_USAGE", {
    detail: `--agent ${JSON.stringify(name)}: a name has 1 to 128 characters, no / or |, and no @ in front`,
    command: "",
  });
}

/** This machine's agent in the room: the one that is there, or a new one of that name. */
export async function ensureAgent(
  cli: Cli,
  room_id: string,
  agent: string | null,
  cwd: string | undefined,
  command: "up" | "join",
): Promise<{ info: AgentInfo; registered: boolean }> {
  const mine = await agentsHere(cli, room_id);
  const there = mine.find((one) => agent === null || one.agent_id === agent);
  const directory = cwd === undefined ? null : resolve(cwd);
  if (there && (directory === null || there.workspace.cwd === directory))
    return { info: there, registered: false };
  const other = mine[0];
  if (!there && other !== undefined)
    throw mxError("MX_USAGE", {
      detail: `this machine is ${other.agent_id} in that workspace already, not ${agent}; \`mx-agent agent register\` adds another name`,
      command,
    });
  await doing(cli, "registering the agent");
  const info = await ask(cli, "agent.register", {
    room: room_id,
    agent: there?.agent_id ?? agent,
    kind: "daemon",
    cwd: directory,
    capabilities: [],
  });
  failpoint("setup.after_agent");
  return { info, registered: true };
}

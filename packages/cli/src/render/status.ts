import type { AgentInfo, DaemonStatus, InvocationInfo, WorkspaceInfo } from "@mx-agent/ipc";
import type { Cli } from "../cli.ts";
import { counted } from "./count.ts";
import { cut } from "./screen.ts";
import { painter, visible } from "./style.ts";
import { pairs } from "./table.ts";
import { ago, duration } from "./time.ts";

export interface MachineStatus {
  daemon: DaemonStatus;
  workspaces: WorkspaceInfo[];
  agents: AgentInfo[];
  /** Asked from here, and run here. */
  running: InvocationInfo[];
  /** Held until somebody approves or denies. */
  waiting: InvocationInfo[];
  /** What is wrong, and what to do; empty when all is well. */
  problems: string[];
}

/** So many of each are on the screen. */
const SHOWN = 6;

/** What an operator should do something about. `version` is that of the mx-agent that asks. */
export function problemsOf(status: Omit<MachineStatus, "problems">, version: string): string[] {
  const { daemon, agents, workspaces } = status;
  const found: string[] = [];
  if (daemon.version !== version)
    found.push(`the daemon is mx-agent ${daemon.version}, this is ${version}: \`mx-agent daemon restart\``);
  if (daemon.account === null || daemon.sync.state === "logged_out")
    found.push("not logged in: `mx-agent auth login --homeserver URL --user NAME`");
  else if (daemon.sync.state !== "healthy")
    found.push(
      `sync is ${daemon.sync.state.replace("_", "-")}${daemon.sync.detail ? `: ${daemon.sync.detail}` : ""}`,
    );
  if (daemon.policy.state === "missing")
    found.push("there is no policy, so everything is denied: `mx-agent policy init`");
  if (daemon.policy.state === "invalid")
    found.push(`everything is denied: ${daemon.policy.detail ?? daemon.policy.file}`);
  if (daemon.undecryptable > 0)
    found.push(`${daemon.undecryptable} events cannot be decrypted yet; their keys have not come`);
  for (const { room_id, name, membership } of workspaces)
    if (membership === "invite")
      found.push(`invited to ${name ?? room_id}: \`mx-agent workspace accept ${name ?? room_id}\``);
  found.push(...daemon.warnings);
  for (const agent of agents)
    for (const warning of agent.warnings)
      if (!daemon.warnings.includes(warning)) found.push(`${agent.agent_id}: ${warning}`);
  return found;
}

export function renderStatus(status: MachineStatus, cli: Cli, columns: number): string {
  const { daemon, workspaces, agents, running, waiting, problems } = status;
  const paint = painter(cli.stdout, cli.env);
  const section = (title: string, lines: readonly string[], more = "invocation list") =>
    lines.length === 0
      ? []
      : [
          `\n${paint("bold", title)}`,
          ...lines.slice(0, SHOWN).map((line) => `  ${line}`),
          ...(lines.length > SHOWN ? [`  and ${lines.length - SHOWN} more: ${more}`] : []),
        ];
  const fit = (lines: readonly string[]) => lines.map((line) => cut(line, columns - 2));
  const rooms = workspaces.flatMap((room) => [
    roomLine(room),
    ...agents.filter(({ room_id }) => room_id === room.room_id).map((agent) => `  ${agentLine(agent)}`),
  ]);
  return [
    head(daemon)
      .split("\n")
      .map((line) => cut(line, columns))
      .join("\n"),
    ...section("workspaces", fit(rooms), "agent list"),
    ...section("running", fit(running.map(invocationLine))),
    ...section("waiting for approval", fit(waiting.map(invocationLine))),
    ...section(
      "wrong",
      problems.map((problem) => paint("yellow", visible(problem))),
      "doctor",
    ),
  ].join("\n");
}

function head({ account, pid, version, uptime_ms, sync, policy }: DaemonStatus): string {
  const last = sync.last_sync_at === null ? "" : `, ${ago(Date.parse(sync.last_sync_at), Date.now())}`;
  return pairs([
    [
      "account",
      account === null || sync.state === "logged_out"
        ? "not logged in"
        : `${account.user_id} on ${account.homeserver}`,
    ],
    ["daemon", `running for ${duration(uptime_ms)} (pid ${pid}, mx-agent ${version})`],
    ["sync", `${sync.state.replace("_", "-")}${last}`],
    ["policy", policy.state === "ok" ? `ok (${policy.file})` : `${policy.state}: everything is denied`],
  ]);
}

function roomLine({ name, alias, room_id, encrypted, membership, member_count }: WorkspaceInfo): string {
  const facts = [
    membership === "invite" ? "invited" : counted(member_count ?? "?", "member"),
    encrypted ? "encrypted" : "not encrypted",
  ];
  return visible(`${name ?? alias ?? room_id}  ${facts.join(", ")}  ${room_id}`);
}

function agentLine(agent: AgentInfo): string {
  const { running_invocations, max_invocations } = agent.load;
  const facts = [
    agent.mine ? "here" : agent.liveness,
    agent.mine ? "" : agent.trusted ? "trusted" : "not trusted",
    running_invocations > 0 ? `${running_invocations} of ${max_invocations} running` : "",
  ];
  return visible(`${agent.agent_id}  ${facts.filter((fact) => fact !== "").join(", ")}`);
}

function invocationLine({ summary, side, agent, requester, state, created_at }: InvocationInfo): string {
  const who = side === "caller" ? `on ${agent}` : `for ${requester}`;
  return visible(`${summary}  ${who}, ${state}, ${ago(Date.parse(created_at), Date.now())}`);
}

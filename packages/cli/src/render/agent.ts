import type { AgentInfo, ToolInfo } from "@mx-agent/ipc";
import { visible } from "./style.ts";
import { pairs, table } from "./table.ts";
import { ago } from "./time.ts";

export function renderAgents(
  agents: readonly AgentInfo[],
  columns = Number.POSITIVE_INFINITY,
  now = Date.now(),
): string {
  if (agents.length === 0) return "no agents";
  const rows = table(
    ["AGENT", "KIND", "USER", "SEEN", "LIVENESS", "TRUSTED", "ROOM"],
    agents.map((agent) => [
      agent.mine ? `${agent.agent_id} (here)` : agent.agent_id,
      agent.kind,
      agent.user_id,
      ago(agent.last_seen_ts, now),
      agent.liveness,
      agent.mine ? "-" : agent.trusted ? "yes" : "no",
      agent.room_id,
    ]),
    columns,
  );
  const warnings = agents.flatMap((agent) =>
    agent.warnings.map((warning) => `warning: ${visible(agent.agent_id)}: ${visible(warning)}`),
  );
  return [rows, ...warnings].join("\n");
}

export function renderAgent(agent: AgentInfo): string {
  const shown = pairs([
    ["agent", agent.mine ? `${agent.agent_id} (on this machine)` : agent.agent_id],
    ["kind", agent.kind],
    ["room", agent.room_id],
    ["user", agent.user_id],
    ["device", agent.device_id],
    ["fingerprint", agent.fingerprint],
    ["trusted here", agent.mine ? null : agent.trusted ? "yes" : "no"],
    ["status", lifeOf(agent, Date.now())],
    ["running", `${agent.load.running_invocations} of ${agent.load.max_invocations}`],
    ["project", agent.workspace.project_id || null],
    ["directory", agent.workspace.cwd || null],
    ["commit", agent.workspace.git_commit || null],
    [
      "audit log",
      agent.audit_head
        ? `line ${agent.audit_head.seq}, ${agent.audit_head.sha256}, seen ${agent.audit_head.seen_at}`
        : null,
    ],
    ["capabilities", agent.capabilities.join(", ") || null],
    ["tools", agent.tools.join(", ") || null],
  ]);
  return [shown, ...agent.warnings.map((warning) => `warning: ${visible(warning)}`)].join("\n");
}

/** What it says of itself and what is seen of it, in one phrase. `offline` in its state means that it was taken back. */
export function lifeOf({ status, liveness, last_seen_ts }: AgentInfo, now: number): string {
  return `${status === "offline" ? "unregistered" : liveness}, seen ${ago(last_seen_ts, now)}`;
}

/** Its schema is as its machine wrote it: each line is shown, and none obeyed. */
export function renderTool(tool: ToolInfo): string {
  const shown = pairs([
    ["tool", `${tool.name}@${tool.version}`],
    ["agent", tool.agent_id],
    ["description", tool.description],
  ]);
  const schema = JSON.stringify(tool.input_schema, null, 2).split("\n").map(visible);
  return [shown, "input:", ...schema].join("\n");
}

export function renderTools(tools: readonly ToolInfo[], columns: number): string {
  if (tools.length === 0) return "no tools";
  return table(
    ["TOOL", "AGENT", "DESCRIPTION"],
    tools.map((tool) => [`${tool.name}@${tool.version}`, tool.agent_id, tool.description]),
    columns,
  );
}

import type { AgentInfo, MemberInfo, Result, WithoutKeys, WorkspaceInfo } from "@mx-agent/ipc";
import { renderAgents } from "./agent.ts";
import { visible } from "./style.ts";
import { pairs, table } from "./table.ts";

export function renderWorkspace(workspace: WorkspaceInfo): string {
  return pairs([
    ["workspace", workspace.name ?? workspace.alias ?? workspace.room_id],
    ["room", workspace.room_id],
    ["alias", workspace.alias],
    ["encrypted", encryptionOf(workspace)],
    ["membership", workspace.membership],
    ["members", countOf(workspace)],
    ["project", workspace.project_id],
    ["invited by", workspace.inviter],
  ]);
}

export function renderWorkspaces(workspaces: readonly WorkspaceInfo[], columns: number): string {
  if (workspaces.length === 0) return "no workspaces";
  return table(
    ["NAME", "ROOM", "MEMBERSHIP", "ENCRYPTED", "MEMBERS"],
    workspaces.map((one) => [
      one.name ?? one.alias ?? "",
      one.room_id,
      one.membership === "invite" && one.inviter ? `invited by ${one.inviter}` : one.membership,
      one.encrypted ? "yes" : "no",
      countOf(one),
    ]),
    columns,
  );
}

function encryptionOf({ encrypted, keys_to }: WorkspaceInfo): string {
  if (!encrypted) return "no: the homeserver can read it";
  return keys_to === "signed" ? "yes, for signed devices only" : "yes";
}

const BECAUSE: Readonly<Record<WithoutKeys["why"], string>> = {
  revoked: "its user's key was revoked",
  unsigned: "its owner has not signed it",
  identity_changed: "its owner has another identity than the one that was verified; verify it again",
};

/** Which devices get keys, and those that get none. */
export function renderWorkspaceKeys({ keys_to, without }: Result<"workspace.keys">): string {
  const shown = keys_to === "signed" ? "signed devices only" : "every device of a member";
  const left = without.map(({ user_id, device_id, why }) => {
    return `not ${device_id} of ${visible(user_id)}: ${BECAUSE[why]}`;
  });
  return [`keys go to ${shown}`, ...left].join("\n");
}

const countOf = ({ member_count }: WorkspaceInfo) =>
  member_count === null ? "unknown" : String(member_count);

export function renderMembers(members: readonly MemberInfo[], columns: number): string {
  return table(
    ["USER", "NAME", "MEMBERSHIP", "LEVEL", "AGENTS"],
    members.map((one) => [
      one.user_id,
      one.display_name ?? "",
      one.membership,
      String(one.power_level),
      one.agents.join(", "),
    ]),
    columns,
  );
}

export function renderWorkspaceStatus(
  status: { workspace: WorkspaceInfo; members: MemberInfo[]; agents: AgentInfo[] },
  columns: number,
): string {
  return [
    renderWorkspace(status.workspace),
    renderMembers(status.members, columns),
    renderAgents(status.agents, columns),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

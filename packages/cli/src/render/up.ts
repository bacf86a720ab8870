import { isLocal } from "../setup/invitation.ts";
import type { UpResult } from "../setup/up.ts";
import { shellWords } from "./command.ts";
import { joinLine } from "./invite.ts";
import { visible } from "./style.ts";
import { pairs } from "./table.ts";

export function renderUp(result: UpResult): string {
  const { homeserver, account, daemon, workspace, agent, policy, invitation, changed } = result;
  const shown = pairs([
    ["homeserver", homeserver.embedded ? `${homeserver.url} (embedded)` : homeserver.url],
    ["reached at", homeserver.public_url],
    ["account", account.user_id],
    ["daemon", `running (pid ${daemon.pid})`],
    [
      "workspace",
      `${workspace.name ?? ""} ${workspace.room_id}${workspace.encrypted ? ", encrypted" : ""}`.trim(),
    ],
    ["agent", agent.agent_id],
    ["fingerprint", agent.fingerprint],
    ["policy", policy.file],
    ["done now", changed.length === 0 ? "nothing: all of it was there" : changed.join(", ")],
  ]);
  return [shown, ...invitationLines(invitation, homeserver), ...allowLines("AGENT")].join("\n");
}

function invitationLines(
  invitation: UpResult["invitation"],
  { url, public_url, embedded }: UpResult["homeserver"],
): string[] {
  if (invitation === null)
    return ["", "No invitation is open. A link for one more machine:", "  mx-agent invite create"];
  const reach = public_url ?? url;
  const local = isLocal(reach)
    ? [`It names ${reach}, which this host alone reaches; \`mx-agent up --help\` says how others do.`]
    : [];
  return [
    "",
    `On the other machine, once, until ${invitation.expires_at}:`,
    joinLine(invitation.link),
    "It holds a secret: send it by a way that you trust.",
    ...(embedded
      ? []
      : [`Its user needs an account at ${reach}: join takes --user NAME, --register or --sso.`]),
    ...local,
  ];
}

/** The two lines that would allow something here, on a machine that allows nothing. */
export function allowLines(agent: string): string[] {
  return [
    "",
    "This machine's policy says what others may run here. Two lines allow something, and show it:",
    `  ${visible(shellWords(["mx-agent", "policy", "allow", agent, "--commands", "git,ls", "--cwd", "DIRECTORY"]))}`,
    "  mx-agent policy check",
  ];
}

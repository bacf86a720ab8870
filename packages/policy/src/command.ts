/** The command that is asked for, compared with those that are allowed: by the file that it really is. */
import type { FileIdentity } from "@mx-agent/base";
import type { DenyCode } from "./codes.ts";
import type { ResolvedCommand } from "./machine.ts";
import type { AllowedCommand } from "./model.ts";
import type { Refusal } from "./program.ts";

function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.path === b.path && a.dev === b.dev && a.ino === b.ino;
}

/** null when it is allowed. */
export function refuseCommand(
  allowed: AllowedCommand[],
  name: string,
  now: ResolvedCommand | null,
): Refusal | null {
  const refuse = (code: DenyCode, detail: string, peer: string): Refusal => ({
    code,
    key: "allow_commands",
    detail,
    peer,
  });
  const shown = JSON.stringify(name);
  if (now) {
    const named = allowed.filter((command) => command.found?.path === now.path);
    if (named.some((command) => command.found && sameFile(command.found.target, now.target))) return null;
    if (named.length > 0) {
      return refuse(
        "command_changed",
        `the file behind ${now.path} is another one (${now.target.path}) than when the policy was loaded; \`mx-agent daemon reload\` reads it again`,
        `${shown} changed on that machine since its policy was loaded; its operator has to reload it`,
      );
    }
  }
  if (!now && allowed.some((command) => command.written === name)) {
    return refuse("command_not_found", `${shown} is allowed, but not there`, `${shown} is not there`);
  }
  const what = now ? `${shown} is ${now.path} (${now.target.path}), which` : `${shown}`;
  return refuse(
    "command_not_allowed",
    `${what} is not in allow_commands`,
    `the command ${shown} is not allowed to you here`,
  );
}

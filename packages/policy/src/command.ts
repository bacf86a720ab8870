/** The command that is asked for, compared with those that are allowed: by the file that it really is. */
import type { FileIdentity } from "@mx-agent/base";
import type { DenyCode } from "./codes.ts";
import type { ResolvedCommand } from "./machine.ts";
import type { AllowedCommand } from "./model.ts";
import { absolutePath } from "./paths.ts";
import type { Refusal } from "./program.ts";

function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.path === b.path && a.dev === b.dev && a.ino === b.ino;
}

/** null when it is allowed. `instead`: what is there where `now` is null. */
export function refuseCommand(
  allowed: AllowedCommand[],
  name: string,
  now: ResolvedCommand | null,
  instead: () => "directory" | "not_executable" | null,
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
  const written = allowed.filter((command) => command.written === name);
  if (!now && written.length > 0) return absent(shown, instead(), refuse);
  if (written.some((command) => !command.found)) {
    return refuse(
      "command_changed",
      `${shown} is allowed, and was not there when the policy was loaded; \`mx-agent daemon reload\` reads it again`,
      `${shown} was not there when the policy of that machine was loaded; its operator has to reload it`,
    );
  }
  const what = now ? `${shown} is ${now.path} (${now.target.path}), which` : `${shown}`;
  return refuse(
    "command_not_allowed",
    `${what} is not in allow_commands`,
    `the command ${shown} is not allowed to you here`,
  );
}

/** null when what runs already, started as `path`, is still allowed: by its name, for its file was settled then. */
export function refuseStarted(allowed: AllowedCommand[], path: string, home: string): Refusal | null {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const isIt = ({ written, found }: AllowedCommand) =>
    found ? found.path === path : written === name || absolutePath(written, home) === path;
  if (allowed.some(isIt)) return null;
  const shown = JSON.stringify(path);
  return {
    code: "command_not_allowed",
    key: "allow_commands",
    detail: `${shown} is not in allow_commands any more`,
    peer: `the command ${shown} is not allowed to you here any more`,
  };
}

/** Its words begin with the system's own code: a caller's exit status follows it (127 for ENOENT, else 126). */
function absent(
  shown: string,
  instead: "directory" | "not_executable" | null,
  refuse: (code: DenyCode, detail: string, peer: string) => Refusal,
): Refusal {
  if (instead === null)
    return refuse("command_not_found", `${shown} is allowed, but not there`, `ENOENT: ${shown} is not there`);
  const what = instead === "directory" ? "is a directory" : "may not be executed";
  return refuse("command_not_executable", `${shown} is allowed, but ${what}`, `EACCES: ${shown} ${what}`);
}

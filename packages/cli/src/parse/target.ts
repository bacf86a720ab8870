import { mxError } from "@mx-agent/base";
import type { Target } from "@mx-agent/ipc";

export interface TargetFlags {
  room?: string | undefined;
  agent?: string | undefined;
}

/** Room and agent of a remote call: flags first, then the configured defaults. Half of one is MX_HALF_TARGET. */
export function targetOf(flags: TargetFlags, defaults: TargetFlags): Target {
  const room = flags.room ?? defaults.room;
  const agent = flags.agent ?? defaults.agent;
  if (!room && !agent)
    throw mxError("MX_USAGE", { detail: "where to? give --room and --agent", command: "" });
  if (!room) throw mxError("MX_HALF_TARGET", { missing: "room" });
  if (!agent) throw mxError("MX_HALF_TARGET", { missing: "agent" });
  return { room, agent };
}

/** The room alone, for commands about a whole workspace. */
export function roomOf(flags: TargetFlags, defaults: TargetFlags): string {
  const room = flags.room ?? defaults.room;
  if (!room)
    throw mxError("MX_USAGE", { detail: "which room? give --room, or set default_room", command: "" });
  return room;
}

import { type StateEventType, stateTypes } from "./v1/types.ts";

/** The power level that writes our state, and the one for every other state event. */
export const AGENT_POWER_LEVEL = 50;
export const OPERATOR_POWER_LEVEL = 100;

/** Each of our state types by name: power levels have no wildcard for custom types. */
export const statePowerLevels = Object.fromEntries(
  stateTypes.map((type) => [type, AGENT_POWER_LEVEL]),
) as Record<StateEventType, number>;

/**
 * A new workspace's `power_level_content_override`: our state at 50, all other state at 100, messages
 * at 0. An agent's level moderates nothing: kicking, banning and redacting are the operator's. The creator's own level is the room version's business.
 */
export function workspacePowerLevels(): {
  events: Record<string, number>;
  events_default: number;
  state_default: number;
  ban: number;
  kick: number;
  redact: number;
} {
  return {
    events: { ...statePowerLevels },
    events_default: 0,
    state_default: OPERATOR_POWER_LEVEL,
    ban: OPERATOR_POWER_LEVEL,
    kick: OPERATOR_POWER_LEVEL,
    redact: OPERATOR_POWER_LEVEL,
  };
}

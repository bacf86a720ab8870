/** Options that several commands have, in the same words. */

export const ROOM = ["--room <room>", "id, alias or name of the workspace; by default default_room"] as const;
export const AGENT = ["--agent <agent>", "by default default_agent"] as const;

/** For an option that may be given several times. */
export const many = (value: string, before: readonly string[]): string[] => [...before, value];

/** Laptop and builder: two machines in one workspace that trust each other, and a policy on the builder. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import {
  closeAll,
  type Machine,
  type Ran,
  type RunningCommand,
  type RunOptions,
  startMachine,
} from "./machine.ts";

export interface TwoDaemons {
  homeserver: TestHomeserver;
  laptop: Machine;
  builder: Machine;
  room: string;
  /** Where the builder's policy lets commands run. */
  project: string;
  /** `exec` on the builder, from the laptop. */
  exec(words: string[], options?: RunOptions & { flags?: string[] }): Promise<Ran>;
  execLive(words: string[], flags?: string[]): RunningCommand;
  close(): Promise<void>;
}

export interface TwoDaemonsOptions {
  /** The builder's policy; by default it allows the laptop everyday commands, without a sandbox. */
  policy?: (room: string, user: string, project: string) => string;
  homeserver?: TestHomeserver;
  /** The builder's own, which federates with the other. */
  builderHomeserver?: TestHomeserver;
  /** Whether the workspace is end-to-end encrypted; by default it is not. */
  encrypted?: boolean;
}

/** Everything of this is one user's way from two fresh machines to the first remote command. */
export async function twoDaemons(options: TwoDaemonsOptions = {}): Promise<TwoDaemons> {
  const homeserver = options.homeserver ?? (await startHomeserverForTests());
  const [laptop, builder] = await Promise.all([
    startMachine({ name: "laptop", homeserver }),
    startMachine({ name: "builder", homeserver: options.builderHomeserver ?? homeserver }),
  ]);
  const room = await shareWorkspace(laptop, builder, options.encrypted);
  const project = join(builder.home, "project");
  await mkdir(project);
  const policy = options.policy ?? everydayPolicy;
  await builder.setPolicy(policy(room, laptop.user, project));
  const target = ["--room", room, "--agent", "builder", "--cwd", project];
  return {
    homeserver,
    laptop,
    builder,
    room,
    project,
    exec: (words, { flags = [], ...rest } = {}) =>
      laptop.run(["exec", ...target, ...flags, "--", ...words], rest),
    execLive: (words, flags = []) => laptop.spawn(["exec", ...target, ...flags, "--", ...words]),
    async close() {
      try {
        await closeAll([laptop, builder]);
      } finally {
        if (options.homeserver === undefined) await homeserver.close();
      }
    },
  };
}

/** A workspace of the first machine in which both are agents and have approved each other's key. */
export async function shareWorkspace(first: Machine, second: Machine, encrypted = false): Promise<string> {
  const plain = encrypted ? [] : ["--no-e2ee"];
  const { room_id } = await first.ask<{ room_id: string }>([
    ...["workspace", "create", "farm", "--invite", second.user, ...plain],
  ]);
  await untilInvited(second, room_id);
  await second.ask(["workspace", "accept", room_id, ...plain]);
  await first.ask(["workspace", "grant", second.user, "--level", "50", "--room", room_id]);
  for (const machine of [first, second])
    await machine.ask(["agent", "register", "--room", room_id, "--agent", machine.name]);
  await approve(first, second, room_id);
  await approve(second, first, room_id);
  return room_id;
}

/** `machine` approves the key that `other` shows at its own terminal. */
export async function approve(machine: Machine, other: Machine, room: string): Promise<void> {
  const { fingerprint } = await other.ask<{ fingerprint: string }>(["trust", "fingerprint"]);
  await eventually(async () => {
    const known = await machine.ask<{ agent_id: string }[]>(["agent", "list", "--room", room]);
    return known.some(({ agent_id }) => agent_id === other.name);
  });
  await machine.ask(["trust", "approve", other.name, "--room", room, "--fingerprint", fingerprint]);
}

async function untilInvited(machine: Machine, room: string): Promise<void> {
  await eventually(async () => {
    const rooms = await machine.ask<{ room_id: string; membership: string }[]>(["workspace", "list"]);
    return rooms.some(({ room_id, membership }) => room_id === room && membership === "invite");
  });
}

export const everydayCommands = ["cat", "echo", "env", "false", "pwd", "sh", "sleep", "sort", "true"];

const everydayPolicy = (room: string, user: string, project: string) =>
  policyFor(room, user, everydayCommands, project);

export function policyFor(room: string, user: string, commands: string[], directory: string): string {
  return `version = 1
[execution]
sandbox = "none"
network = "allow"
env_allowlist = ["GREETING"]
[rooms."${room}"]
trusted = true
${entryOf(room, user, commands, directory)}`;
}

/** What such a policy says of one user. */
export function entryOf(room: string, user: string, commands: string[], directory: string): string {
  return `[rooms."${room}".agents."${user}"]
allow_exec = true
allow_unsandboxed = true
allow_commands = ${JSON.stringify(commands)}
allow_cwd = ["${directory}"]
`;
}

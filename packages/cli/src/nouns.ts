/** Every noun and verb of the top level. What is not called is not loaded. */
import type { Define } from "./verb.ts";

type Group = "Set up a machine" | "Work with other machines" | "Who may do what" | "This machine, by hand";

export interface Noun {
  name: string;
  summary: string;
  /** Under which heading the help has it. */
  group?: Group;
  /** Not in the help: started by mx-agent itself. */
  hidden?: boolean;
  load(): Promise<Define>;
}

export const nouns: readonly Noun[] = [
  {
    name: "up",
    group: "Set up a machine",
    summary: "set this machine up: homeserver, daemon, workspace, agent, and a link for the next machine",
    load: async () => (await import("./commands/up.ts")).define,
  },
  {
    name: "join",
    group: "Set up a machine",
    summary: "set this machine up with a link from another one's `up`",
    load: async () => (await import("./commands/join.ts")).define,
  },
  {
    name: "down",
    group: "Set up a machine",
    summary: "stop what `up` started, and remove it with --purge",
    load: async () => (await import("./commands/down.ts")).define,
  },
  {
    name: "invite",
    group: "Set up a machine",
    summary: "links that let another machine in",
    load: async () => (await import("./commands/invite.ts")).define,
  },
  {
    name: "status",
    group: "Set up a machine",
    summary: "this machine on one screen: workspaces, agents, what runs, what waits, what is wrong",
    load: async () => (await import("./commands/status.ts")).define,
  },
  {
    name: "doctor",
    group: "Set up a machine",
    summary: "look for what is wrong, and say what to do",
    load: async () => (await import("./commands/doctor.ts")).define,
  },
  {
    name: "exec",
    group: "Work with other machines",
    summary: "run a command on another agent's machine",
    load: async () => (await import("./commands/exec.ts")).define,
  },
  {
    name: "call",
    group: "Work with other machines",
    summary: "call a tool of another agent",
    load: async () => (await import("./commands/call.ts")).define,
  },
  {
    name: "tools",
    group: "Work with other machines",
    summary: "the tools that agents offer",
    load: async () => (await import("./commands/tools.ts")).define,
  },
  {
    name: "invocation",
    group: "Work with other machines",
    summary: "what ran and what runs, here and elsewhere",
    load: async () => (await import("./commands/invocation.ts")).define,
  },
  {
    name: "workspace",
    group: "Who may do what",
    summary: "rooms in which agents work together",
    load: async () => (await import("./commands/workspace.ts")).define,
  },
  {
    name: "agent",
    group: "Who may do what",
    summary: "agents in a workspace, this machine's and others'",
    load: async () => (await import("./commands/agent.ts")).define,
  },
  {
    name: "trust",
    group: "Who may do what",
    summary: "whose signature counts on this machine",
    load: async () => (await import("./commands/trust.ts")).define,
  },
  {
    name: "policy",
    group: "Who may do what",
    summary: "what others may do on this machine",
    load: async () => (await import("./commands/policy.ts")).define,
  },
  {
    name: "audit",
    group: "Who may do what",
    summary: "the record of every decision on this machine",
    load: async () => (await import("./commands/audit.ts")).define,
  },
  {
    name: "device",
    group: "Who may do what",
    summary: "devices, and whether they belong to whom you think",
    load: async () => (await import("./commands/device.ts")).define,
  },
  {
    name: "recovery",
    group: "Who may do what",
    summary: "getting keys and messages back on a new machine",
    load: async () => (await import("./commands/recovery.ts")).define,
  },
  {
    name: "daemon",
    group: "This machine, by hand",
    summary: "start, stop and look at this machine's daemon",
    load: async () => (await import("./commands/daemon.ts")).define,
  },
  {
    name: "service",
    group: "This machine, by hand",
    summary: "the daemon as a service of systemd or launchd",
    load: async () => (await import("./commands/service.ts")).define,
  },
  {
    name: "auth",
    group: "This machine, by hand",
    summary: "log in to a homeserver",
    load: async () => (await import("./commands/auth.ts")).define,
  },
  {
    name: "config",
    group: "This machine, by hand",
    summary: "the configuration that is in force",
    load: async () => (await import("./commands/config.ts")).define,
  },
  {
    name: "homeserver",
    group: "This machine, by hand",
    summary: "the embedded homeserver, for one host",
    load: async () => (await import("./commands/homeserver.ts")).define,
  },
  {
    name: "completion",
    group: "This machine, by hand",
    summary: "completion for bash, zsh and fish",
    load: async () => (await import("./commands/completion.ts")).define,
  },
  {
    name: "update",
    group: "This machine, by hand",
    summary: "whether there is a newer mx-agent",
    load: async () => (await import("./commands/update.ts")).define,
  },
  {
    name: "complete",
    summary: "what can follow the words that are typed; asked by shells",
    hidden: true,
    load: async () => (await import("./commands/complete.ts")).define,
  },
  {
    name: "runner-process",
    summary: "the parent of all commands; started by the daemon",
    hidden: true,
    load: async () => (await import("./commands/runner-process.ts")).define,
  },
  {
    name: "daemon-process",
    summary: "the daemon itself; started by `daemon start`",
    hidden: true,
    load: async () => (await import("./commands/daemon-process.ts")).define,
  },
];

/** Policies and requests made at random out of a small world, so that they often concern each other. */
import fc from "fast-check";
import { stringify } from "smol-toml";
import type { PolicyRequest } from "../../src/index.ts";
import type { AgentTable, Document } from "../../src/schema.ts";

const users = ["@a:x", "@b:x"];
const commands = ["git", "npm", "ls", "/usr/bin/ash", "/bin/git"];
const directories = ["/srv", "/srv/project", "/srv/project/deep", "/srv/link", "/tmp", "/etc"];
const variables = ["CI", "FOO", "LD_PRELOAD"];
const some = <T>(items: T[]) => fc.subarray(items);
const most = <T>(items: T[]) => fc.subarray(items, { minLength: items.length - 2 });
const rarely = fc.integer({ min: 0, max: 9 }).map((n) => n === 0);
const limit = fc.integer({ min: 1, max: 5 });

const settings = {
  network: fc.constantFrom("deny" as const, "allow" as const),
  read_only_paths: some(["/etc", "/srv", "/srv/project", "/srv/project/deep", "/tmp"]),
  writable_paths: some(["/etc", "/srv/project/deep", "/tmp"]),
  env_allowlist: some(variables),
  max_runtime_ms: limit,
  max_output_bytes: limit,
  max_memory_bytes: limit,
  max_processes: limit,
  max_cpu_seconds: limit,
  max_concurrent: limit,
  max_per_minute: limit,
};

const agent: fc.Arbitrary<AgentTable> = fc
  .record(
    {
      allow_exec: rarely.map((no) => !no),
      allow_commands: most(commands),
      allow_cwd: most(directories),
      deny_args_regex: fc.oneof(some<string>([]), some(["-.*", "push", "(a+)+"])),
      allow_tools: most(["t", "t@1", "t@2"]),
      requires_approval: fc.constantFrom<NonNullable<AgentTable["requires_approval"]>>(
        true,
        false,
        [{ command: "git", args: ["push"] }],
        [{ tool: "t" }],
        [{ args: ["push"] }],
      ),
      require_verified_device: rarely,
      allow_unsandboxed: rarely.map((no) => !no),
      max_file_bytes: limit,
      sandbox: fc.constantFrom("bubblewrap" as const, "bubblewrap" as const, "none" as const),
      ...settings,
    },
    { requiredKeys: ["allow_exec", "allow_commands", "allow_cwd", "allow_tools"] },
  )
  // Not the contradiction, which is a problem of its own.
  .map((table): AgentTable => {
    if (table.sandbox !== "none") return table;
    // What cannot be had without a sandbox would make the whole policy invalid.
    const { max_file_bytes: _, ...rest } = table;
    return { ...rest, network: "allow" };
  });

export const policies: fc.Arbitrary<Document> = fc.record({
  version: fc.constant(1 as const),
  execution: fc.record({ ...settings, require_sandbox: rarely }, { requiredKeys: [] }),
  groups: fc.record({ g: some(users) }),
  rooms: fc.record({
    "!a:x": fc.record(
      {
        trusted: rarely.map((no) => !no),
        raw_exec_default: fc.constantFrom("allow" as const, "deny" as const),
        require_verified_device: rarely,
        agents: fc.dictionary(fc.constantFrom("@a:x", "@b:x", "group:g", "*"), agent, {
          noNullPrototype: true,
          minKeys: 1,
        }),
      },
      { requiredKeys: ["agents", "trusted"] },
    ),
  }),
  tools: fc.constant({
    t: {
      version: "1.0.0",
      cwd: "/srv/project",
      command: ["npm", "test", "{p}"],
      input: { type: "object", properties: { p: { type: "string" } }, additionalProperties: false },
    },
  }),
});

export const requests: fc.Arbitrary<PolicyRequest & { cwd: string }> = fc.record({
  room_id: rarely.map((other) => (other ? "!b:x" : "!a:x")),
  user_id: fc.constantFrom(...users, ...users, "@eve:x"),
  ask: fc.oneof(
    fc.record({
      kind: fc.constant("exec" as const),
      command: fc.array(fc.constantFrom("git", "git", "npm", "ls", "ash", "push", "-x", "aaaa"), {
        maxLength: 3,
      }),
    }),
    fc.record({
      kind: fc.constant("call" as const),
      tool: fc.constantFrom("t", "t@1", "t@2"),
      args: fc.constantFrom<Record<string, unknown>>({}, { p: "push" }, { p: 1 }),
    }),
  ),
  cwd: fc.constantFrom(
    "/srv/project",
    "/srv/project/deep",
    "/srv/link/deep",
    "/srv/project/out",
    "/tmp",
    "/etc",
    "/absent",
  ),
  env: fc.constantFrom<Record<string, string>>({}, {}, {}, { CI: "1" }, { FOO: "1" }, { LD_PRELOAD: "x" }),
  timeout_ms: fc.option(fc.integer({ min: 0, max: 6 })),
  device_verified: rarely.map((no) => !no),
});

export function toToml(document: Document): string {
  return stringify(document);
}

const limits = [
  "max_runtime_ms",
  "max_output_bytes",
  "max_memory_bytes",
  "max_processes",
  "max_file_bytes",
  "max_cpu_seconds",
  "max_concurrent",
  "max_per_minute",
] as const;
const lists = ["allow_commands", "allow_cwd", "allow_tools", "env_allowlist", "writable_paths"] as const;

/** Every policy that this one becomes by one tightening: a rule removed, a limit lowered, a path deepened. */
export function tightenings(policy: Document): [string, Document][] {
  const found: [string, Document][] = [];
  const change = (name: string, edit: (copy: Document) => void) => {
    const copy = structuredClone(policy);
    edit(copy);
    found.push([name, copy]);
  };
  change("the room removed", (copy) => delete copy.rooms?.["!a:x"]);
  change("the room no longer trusted", (copy) => {
    const room = copy.rooms?.["!a:x"];
    if (room) room.trusted = false;
  });
  change("verified devices demanded", (copy) => {
    const room = copy.rooms?.["!a:x"];
    if (room) room.require_verified_device = true;
  });
  for (const member of policy.groups?.g ?? []) {
    change(`${member} out of the group`, (copy) => {
      copy.groups = { g: (copy.groups?.g ?? []).filter((user) => user !== member) };
    });
  }
  for (const key of limits) {
    const value = policy.execution?.[key];
    if (value !== undefined && value > 1) {
      change(`[execution] ${key} lowered`, (copy) => {
        copy.execution = { ...copy.execution, [key]: value - 1 };
      });
    }
  }
  change("the network denied in [execution]", (copy) => {
    copy.execution = { ...copy.execution, network: "deny" };
  });
  change("a sandbox required", (copy) => {
    copy.execution = { ...copy.execution, require_sandbox: true };
  });
  for (const who of Object.keys(policy.rooms?.["!a:x"]?.agents ?? {})) {
    change(`the entry ${who} removed`, (copy) => delete copy.rooms?.["!a:x"]?.agents?.[who]);
    const entry = (name: string, edit: (table: AgentTable) => void) =>
      change(`${who}: ${name}`, (copy) => {
        const table = copy.rooms?.["!a:x"]?.agents?.[who];
        if (table) edit(table);
      });
    const table = policy.rooms?.["!a:x"]?.agents?.[who] ?? {};
    for (const key of lists) {
      for (const item of table[key] ?? []) {
        entry(`${item} out of ${key}`, (edited) => {
          edited[key] = (edited[key] ?? []).filter((other) => other !== item);
        });
      }
    }
    for (const key of limits) {
      const value = table[key];
      if (value !== undefined && value > 1)
        entry(`${key} lowered`, (edited) => {
          edited[key] = value - 1;
        });
    }
    for (const [index, path] of (table.allow_cwd ?? []).entries()) {
      entry(
        `${path} deepened`,
        (edited) =>
          void edited.allow_cwd?.splice(index, 1, path === "/srv" ? "/srv/project" : `${path}/deep`),
      );
    }
    for (const [index, path] of (table.writable_paths ?? []).entries()) {
      entry(`${path} deepened`, (edited) => void edited.writable_paths?.splice(index, 1, `${path}/deep`));
    }
    entry("exec denied", (edited) => {
      edited.allow_exec = false;
    });
    entry("approval required", (edited) => {
      edited.requires_approval = true;
    });
    entry("verified device required", (edited) => {
      edited.require_verified_device = true;
    });
    entry("another argument denied", (edited) => {
      edited.deny_args_regex = [...(edited.deny_args_regex ?? []), ".*"];
    });
    entry("allow_unsandboxed taken away", (edited) => void delete edited.allow_unsandboxed);
  }
  return found;
}

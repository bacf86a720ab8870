/**
 * The policy file: one source for what is accepted and for the reference (`policyReference`). Shapes
 * alone; what the values mean together is checked in compile.ts.
 */
import { z } from "zod";

const count = (text: string) => z.int().positive().describe(text);
const texts = z.array(z.string().min(1));

export const network = z
  .enum(["deny", "allow"])
  .describe(
    '`"deny"` or `"allow"`. Without a sandbox nothing can be denied, so `none` with `"deny"` is refused.',
  );
/** Spellings that this version cannot do are refused in settings.ts, with a message of their own. */
export const sandbox = z
  .enum(["bubblewrap", "none", "container", "seatbelt", "docker", "podman", "firejail", "chroot"])
  .describe(
    '`"bubblewrap"` or `"none"`. `"none"` is no confinement at all: such a command is the operator, and needs `allow_unsandboxed = true` in the entry.',
  );

/** Stand in [execution] as defaults, and in an entry for that entry. */
const settings = {
  sandbox: sandbox.optional(),
  network: network.optional(),
  read_only_paths: texts
    .optional()
    .describe(
      "Directories and files shown read-only beside the system. A project that is one of them or lies in one is not writable, and what is listed inside of a project is read-only whatever the working directory is.",
    ),
  writable_paths: texts
    .optional()
    .describe(
      "Writable beside the project of the working directory. Of a path here and one in `read_only_paths`, the one that lies deeper decides.",
    ),
  env_allowlist: texts
    .optional()
    .describe(
      "Variables that a run inherits from the daemon and that a peer may set. Secrets are dropped even if listed.",
    ),
  max_runtime_ms: count("From start to SIGTERM, in milliseconds.").optional(),
  max_output_bytes: count("Of stdout and stderr together, in bytes; more ends the run.").optional(),
  max_memory_bytes: count("Of the run and all its children, in bytes.").optional(),
  max_processes: count("Processes of the run at the same time.").optional(),
  max_file_bytes: count(
    "Size of any one file that a run in a sandbox writes, in bytes; without a sandbox it cannot be limited. What all files take together is the file system's to limit.",
  ).optional(),
  max_cpu_seconds: count("Processor time of the run, in seconds.").optional(),
  max_concurrent: count("Runs of one user in one room at the same time.").optional(),
  max_per_minute: count("Requests of one user in one room that are let through each minute.").optional(),
};

export const execution = z.strictObject({
  ...settings,
  default_sandbox: sandbox.optional().describe("The first implementation's name of `sandbox`."),
  require_sandbox: z
    .boolean()
    .optional()
    .describe("true: a run without a sandbox is refused, whatever an entry says."),
});

export const approval = z.strictObject({
  command: z.string().min(1).optional().describe("A command as in `allow_commands`."),
  args: texts.optional().describe("Arguments that must occur, in this order, others may stand between."),
  tool: z.string().min(1).optional().describe("A tool as in `allow_tools`."),
});

export const agent = z.strictObject({
  allow_exec: z.boolean().optional().describe("Whether commands may be run at all; tools do not need it."),
  allow_commands: texts
    .optional()
    .describe("Bare names, found by the daemon's PATH when the policy is loaded, or absolute paths."),
  allow_cwd: texts.optional().describe("Directories in which, and below which, commands may run."),
  deny_args_regex: z
    .array(z.string())
    .optional()
    .describe(
      "RE2 patterns; an argument that one of them matches as a whole denies the request. In a file without `version` a match anywhere denies, in the command line too.",
    ),
  allow_tools: texts.optional().describe("Tools by name, or `name@version` (`run_tests@1` is any 1.x.y)."),
  requires_approval: z
    .union([z.boolean(), z.array(approval)])
    .optional()
    .describe(
      "true: every request is held until a person approves it. A list: requests that fit one of it; a command is known by its file, under every name.",
    ),
  require_verified_device: z.boolean().optional().describe("The sending device must be verified."),
  allow_unsandboxed: z.boolean().optional().describe('Needed by `sandbox = "none"`.'),
  ...settings,
});

export const room = z.strictObject({
  trusted: z.boolean().optional().describe("Commands need true; tools do not."),
  raw_exec_default: z
    .enum(["allow", "deny"])
    .optional()
    .describe("`allow_exec` of the room's entries that do not say it themselves; `deny` if absent."),
  require_verified_device: z
    .boolean()
    .optional()
    .describe("Every request from this room must come from a verified device."),
  approvers: texts.optional().describe("Users and groups who may release held requests."),
  agents: z
    .record(z.string(), agent)
    .optional()
    .describe('By Matrix user, `"group:NAME"`, or `"*"` for everybody.'),
});

export const tool = z.strictObject({
  version: z.string().min(1).describe("Three numbers: `1.0.0`."),
  description: z.string().optional().describe("Shown to those who may call it."),
  input: z.record(z.string(), z.unknown()).optional().describe("JSON Schema of the arguments, an object."),
  output_schema: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("JSON Schema of the result, for callers."),
  output: z.enum(["text", "json"]).optional().describe("How stdout comes back; `text` if absent."),
  command: z
    .array(z.union([z.string(), z.array(z.string())]))
    .describe(
      "The argv, never a shell. `{name}` is the argument of that name. A string or an inner list whose argument was not given is left out.",
    ),
  cwd: z.string().min(1).describe("Absolute."),
  max_runtime_ms: count("Lowers the entry's limit, in milliseconds.").optional(),
});

export const test = z.strictObject({
  name: z.string().min(1).describe("A promise: what must or must not be possible."),
  request: z
    .strictObject({
      room: z.string().describe("Room id."),
      user: z.string().describe("Matrix user."),
      command: z.array(z.string()).optional().describe("A command, or"),
      tool: z.string().optional().describe("a tool,"),
      args: z.record(z.string(), z.unknown()).optional().describe("with its arguments."),
      cwd: z.string().optional().describe("Working directory."),
      env: z.record(z.string(), z.string()).optional().describe("Requested variables."),
      timeout_ms: z.int().positive().optional().describe("Requested time, in milliseconds."),
      device_verified: z.boolean().optional().describe("Whether the device is verified; false if absent."),
    })
    .describe("What is asked."),
  expect: z.string().describe("`allow`, `hold`, `deny`, or `deny:CODE`."),
});

export const document = z.strictObject({
  version: z
    .literal(1)
    .optional()
    .describe(
      "1. A file without it is one of the first implementation: `deny_args_regex` then matches anywhere.",
    ),
  execution: execution.optional().describe("What every run gets, unless an entry says otherwise."),
  groups: z.record(z.string(), texts).optional().describe("Users under a name, for `group:NAME`."),
  rooms: z
    .record(z.string(), room)
    .optional()
    .describe("By room id. A room that is not here allows nothing."),
  tools: z.record(z.string(), tool).optional().describe("Named tools that this machine offers."),
  test: z.array(test).optional().describe("Checked by `policy test`."),
});

export type Document = z.infer<typeof document>;
export type AgentTable = z.infer<typeof agent>;
export type RoomTable = z.infer<typeof room>;
export type ToolTable = z.infer<typeof tool>;
export type TestTable = z.infer<typeof test>;
export type ExecutionTable = z.infer<typeof execution>;

/** Which table a path is in: its keys, for "did you mean". */
export function tableAt(path: readonly PropertyKey[]): z.ZodObject | null {
  const [top, , third] = path;
  if (path.length === 0) return document;
  if (top === "execution" && path.length === 1) return execution;
  if (top === "rooms" && path.length === 2) return room;
  if (top === "rooms" && third === "agents" && path.length === 4) return agent;
  if (top === "rooms" && third === "agents" && path[4] === "requires_approval") return approval;
  if (top === "tools" && path.length === 2) return tool;
  if (top === "test" && path.length === 2) return test;
  if (top === "test" && path.length === 3) return test.shape.request;
  return null;
}

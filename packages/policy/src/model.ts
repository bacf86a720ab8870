/** A policy that was loaded: names resolved, patterns compiled, defaults filled in. */
import type { FileIdentity } from "@mx-agent/base";
import type { ResolvedCommand } from "./machine.ts";
import type { Pattern } from "./patterns.ts";
import type { Problem, Warning } from "./problems.ts";
import type { TestTable } from "./schema.ts";
import type { ArgumentTemplate } from "./template.ts";

export type LoadedPolicy =
  | { state: "ok"; file: string; policy: Policy }
  | { state: "missing"; file: string }
  | { state: "invalid"; file: string; problems: Problem[] };

export interface Policy {
  file: string;
  /** No `version`: a file of the first implementation. */
  legacy: boolean;
  /** `require_sandbox` in [execution], and where it stands. */
  requireSandbox: { rule: string } | null;
  rooms: ReadonlyMap<string, Room>;
  groups: ReadonlyMap<string, ReadonlySet<string>>;
  tools: ReadonlyMap<string, Tool>;
  tests: readonly { table: TestTable; place: { file: string; line: number; key: string } }[];
  /** What was noticed while it was loaded. */
  warnings: readonly Warning[];
  /** Names a place as `{file, line, key}`. */
  place(path: readonly (string | number)[]): { file: string; line: number; key: string };
}

export interface Room {
  id: string;
  rule: string;
  trusted: boolean;
  requireVerifiedDevice: boolean;
  /** Matrix users; groups are spelled out. */
  approvers: string[];
  entries: Entry[];
}

/** `[rooms.R.agents.WHO]` */
export interface Entry {
  path: readonly (string | number)[];
  /** `*`, `group:NAME` or a user. */
  subject: string;
  /** Users first, then groups, then everybody: the order in which refusals are told. */
  rank: 0 | 1 | 2;
  allowExec: boolean;
  commands: AllowedCommand[];
  directories: AllowedDirectory[];
  denyArguments: Pattern[];
  tools: ToolSelector[];
  /** true: everything is held. */
  approval: true | ApprovalRule[];
  requireVerifiedDevice: boolean;
  allowUnsandboxed: boolean;
  settings: Settings;
  /** `file:line key` of one of its keys, or of the entry when it is absent. */
  rule(key?: string): string;
}

export interface AllowedCommand {
  written: string;
  /** As it was when the policy was loaded; null: it was not there, and nothing is allowed by it. */
  found: ResolvedCommand | null;
}

export interface AllowedDirectory {
  written: string;
  /** Real path where it was there when the policy was loaded, else as written. */
  path: string;
  found: FileIdentity | null;
}

export interface ToolSelector {
  name: string;
  /** null: any; `1` and `1.2` are all versions that begin so. */
  version: string | null;
}

export type ApprovalRule =
  | { kind: "command"; command: AllowedCommand; args: string[] }
  | { kind: "arguments"; args: string[] }
  | { kind: "tool"; selector: ToolSelector };

export interface Settings {
  sandbox: "none" | "bubblewrap";
  network: "deny" | "allow";
  readOnlyPaths: string[];
  writablePaths: string[];
  envAllowlist: string[];
  maxRuntimeMs: number;
  maxOutputBytes: number;
  maxMemoryBytes: number | null;
  maxProcesses: number | null;
  maxFileBytes: number | null;
  maxCpuSeconds: number | null;
  maxConcurrent: number;
  maxPerMinute: number | null;
}

export interface Tool {
  name: string;
  version: string;
  description: string;
  inputSchema: Record<string, unknown>;
  outputSchema: Record<string, unknown>;
  output: "text" | "json";
  command: AllowedCommand;
  template: ArgumentTemplate[];
  directory: AllowedDirectory;
  maxRuntimeMs: number | null;
  rule: string;
  /** The arguments with the schema's defaults, or what is wrong with them. */
  validate(
    args: Record<string, unknown>,
  ): { ok: true; args: Record<string, unknown> } | { ok: false; detail: string };
}

/** A tool as a room's `tool` state shows it. */
export interface ToolDefinition {
  name: string;
  version: string;
  description: string;
  input_schema: Record<string, unknown>;
  output_schema: Record<string, unknown>;
}

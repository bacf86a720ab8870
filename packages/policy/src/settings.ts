import { isVariableName } from "./environment.ts";
import type { Settings } from "./model.ts";
import type { KeyPath } from "./positions.ts";
import type { Report } from "./problems.ts";
import type { AgentTable, ExecutionTable } from "./schema.ts";

/** What a run gets when neither its entry nor [execution] says it. */
export const builtIn = {
  sandbox: "bubblewrap",
  network: "deny",
  maxRuntimeMs: 900_000,
  maxOutputBytes: 67_108_864,
  maxConcurrent: 4,
  /** In a sandbox: without one, a file's size cannot be limited. */
  maxFileBytes: 8_589_934_592,
} as const;

/** [execution], with its paths found. */
export interface Execution {
  table: ExecutionTable;
  readOnlyPaths: string[];
  writablePaths: string[];
}

const NO_FILE_LIMIT = "the size of files cannot be limited without a sandbox";

/** The paths of a list that a sandbox will show; those that are wrong are reported. */
export type ShowPaths = (list: string[] | undefined, path: KeyPath) => string[];

export function compileExecution(table: ExecutionTable, report: Report, show: ShowPaths): Execution {
  checkExecution(table, report);
  return {
    table,
    readOnlyPaths: show(table.read_only_paths, ["execution", "read_only_paths"]),
    writablePaths: show(table.writable_paths, ["execution", "writable_paths"]),
  };
}

/** The entry's own values, else those of [execution], else the built-in ones. Problems are reported. */
export function compileSettings(
  agent: AgentTable,
  path: KeyPath,
  execution: Execution,
  report: Report,
  show: ShowPaths,
): Settings {
  checkTable(agent, path, report);
  const inherited = execution.table;
  const sandbox = agent.sandbox ?? inherited.sandbox ?? inherited.default_sandbox ?? builtIn.sandbox;
  const network = agent.network ?? inherited.network;
  const own = agent.network === undefined ? "sandbox" : "network";
  // Where both are inherited it is told once, at [execution].
  if (sandbox === "none" && network === "deny" && agent[own] !== undefined) {
    const where = agent.network === undefined ? ", which [execution] does" : "";
    report.add(
      [...path, own],
      `sandbox = "none" cannot deny the network${where}: say network = "allow", or use bubblewrap`,
    );
  }
  const maxFileBytes = agent.max_file_bytes ?? inherited.max_file_bytes;
  if (sandbox === "none" && agent.max_file_bytes !== undefined)
    report.add([...path, "max_file_bytes"], NO_FILE_LIMIT);
  else if (agent.sandbox === "none" && maxFileBytes !== undefined)
    report.warn(
      "unsandboxed",
      [...path, "sandbox"],
      `max_file_bytes of [execution] is not held: ${NO_FILE_LIMIT}`,
    );
  return {
    sandbox: sandbox === "none" ? "none" : "bubblewrap",
    network: network ?? builtIn.network,
    readOnlyPaths: agent.read_only_paths
      ? show(agent.read_only_paths, [...path, "read_only_paths"])
      : execution.readOnlyPaths,
    writablePaths: agent.writable_paths
      ? show(agent.writable_paths, [...path, "writable_paths"])
      : execution.writablePaths,
    envAllowlist: agent.env_allowlist ?? inherited.env_allowlist ?? [],
    maxRuntimeMs: agent.max_runtime_ms ?? inherited.max_runtime_ms ?? builtIn.maxRuntimeMs,
    maxOutputBytes: agent.max_output_bytes ?? inherited.max_output_bytes ?? builtIn.maxOutputBytes,
    maxMemoryBytes: agent.max_memory_bytes ?? inherited.max_memory_bytes ?? null,
    maxProcesses: agent.max_processes ?? inherited.max_processes ?? null,
    maxFileBytes: sandbox === "none" ? null : (maxFileBytes ?? builtIn.maxFileBytes),
    maxCpuSeconds: agent.max_cpu_seconds ?? inherited.max_cpu_seconds ?? null,
    maxConcurrent: agent.max_concurrent ?? inherited.max_concurrent ?? builtIn.maxConcurrent,
    maxPerMinute: agent.max_per_minute ?? inherited.max_per_minute ?? null,
  };
}

/** What is wrong with [execution] on its own. */
function checkExecution(table: ExecutionTable, report: Report): void {
  const path = ["execution"];
  checkTable(table, path, report);
  if (table.sandbox !== undefined && table.default_sandbox !== undefined) {
    report.add([...path, "default_sandbox"], "is the older name of sandbox, which is there too: say one");
  }
  const key = table.sandbox === undefined ? "default_sandbox" : "sandbox";
  if (table[key] === "none" && table.network === "deny") {
    report.add(
      [...path, key],
      'sandbox = "none" cannot deny the network: say network = "allow", or use bubblewrap',
    );
  }
  if (table[key] === "none" && table.max_file_bytes !== undefined)
    report.add([...path, "max_file_bytes"], NO_FILE_LIMIT);
}

/** Spellings of a sandbox that this version does not have, and names that are no variables. */
function checkTable(table: AgentTable | ExecutionTable, path: KeyPath, report: Report): void {
  const spelled: Record<string, unknown> = table;
  for (const key of ["sandbox", "default_sandbox"]) {
    const value = spelled[key];
    if (typeof value !== "string" || value === "none" || value === "bubblewrap") continue;
    report.add([...path, key], `${JSON.stringify(value)} is not a sandbox of this version; use "bubblewrap"`);
  }
  for (const [index, name] of (table.env_allowlist ?? []).entries()) {
    if (!isVariableName(name))
      report.add([...path, "env_allowlist", index], `${JSON.stringify(name)} is no name of a variable`);
  }
}

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
} as const;

interface PathResolver {
  shown(written: string, path: KeyPath): string | null;
}

/** The entry's own values, else those of [execution], else the built-in ones. Problems are reported. */
export function compileSettings(
  agent: AgentTable,
  agentPath: KeyPath,
  execution: ExecutionTable,
  report: Report,
  resolve: PathResolver,
): Settings {
  const inherited = { ...execution, sandbox: execution.sandbox ?? execution.default_sandbox };
  const sandbox = agent.sandbox ?? inherited.sandbox ?? builtIn.sandbox;
  const network = agent.network ?? inherited.network;
  if (sandbox === "none" && network === "deny") {
    report.add(
      agent.sandbox === undefined && agent.network === undefined
        ? agentPath
        : [...agentPath, agent.network === undefined ? "sandbox" : "network"],
      `sandbox = "none" cannot deny the network${
        agent.network === undefined ? ", which [execution] does" : ""
      }: say network = "allow", or use bubblewrap`,
    );
  }
  const paths = (key: "read_only_paths" | "writable_paths"): string[] => {
    const [list, base]: [string[] | undefined, KeyPath] =
      agent[key] === undefined ? [inherited[key], ["execution"]] : [agent[key], agentPath];
    return (list ?? []).flatMap((written, index) => resolve.shown(written, [...base, key, index]) ?? []);
  };
  return {
    sandbox: sandbox === "none" ? "none" : "bubblewrap",
    network: network ?? builtIn.network,
    readOnlyPaths: paths("read_only_paths"),
    writablePaths: paths("writable_paths"),
    envAllowlist: agent.env_allowlist ?? inherited.env_allowlist ?? [],
    maxRuntimeMs: agent.max_runtime_ms ?? inherited.max_runtime_ms ?? builtIn.maxRuntimeMs,
    maxOutputBytes: agent.max_output_bytes ?? inherited.max_output_bytes ?? builtIn.maxOutputBytes,
    maxMemoryBytes: agent.max_memory_bytes ?? inherited.max_memory_bytes ?? null,
    maxProcesses: agent.max_processes ?? inherited.max_processes ?? null,
    maxCpuSeconds: agent.max_cpu_seconds ?? inherited.max_cpu_seconds ?? null,
    maxConcurrent: agent.max_concurrent ?? inherited.max_concurrent ?? builtIn.maxConcurrent,
    maxPerMinute: agent.max_per_minute ?? inherited.max_per_minute ?? null,
  };
}

/** Spellings of a sandbox that this version does not have, and names that are no variables. */
export function checkTable(table: AgentTable | ExecutionTable, path: KeyPath, report: Report): void {
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

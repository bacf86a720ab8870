/** What arrives on the socket, parsed before anything is done with it. */
import { isAbsolute } from "node:path";
import { type FileIdentity, mxError } from "@mx-agent/base";
import type { SandboxRequest } from "@mx-agent/sandbox";
import type { RunLimits, RunSpec, RunStream } from "./api.ts";
import { checkRunId } from "./spool.ts";
import type { Request } from "./wire.ts";

type Fields = Record<string, unknown>;

/** What the answer to a message must carry, whatever else is wrong with it. */
export function requestId(message: unknown): number {
  return count(fields(message, "message").id, "id");
}

/** Throws MX_PROTOCOL with the name of the field that is wrong. */
export function parseRequest(message: unknown): Request {
  const request = fields(message, "message");
  const id = requestId(message);
  const params = fields(request.params, "params");
  switch (request.method) {
    case "hello": {
      const version = fields(params.version, "version");
      const parsed = { major: count(version.major, "major"), minor: count(version.minor, "minor") };
      return { id, method: "hello", params: { version: parsed } };
    }
    case "start":
      return { id, method: "start", params: { spec: parseSpec(params.spec) } };
    case "stdin":
      return {
        id,
        method: "stdin",
        params: {
          run_id: runId(params),
          offset: count(params.offset, "offset"),
          eof: boolean(params.eof, "eof"),
        },
      };
    case "read":
      return {
        id,
        method: "read",
        params: {
          run_id: runId(params),
          stream: stream(params.stream),
          offset: count(params.offset, "offset"),
          max_bytes: count(params.max_bytes, "max_bytes"),
        },
      };
    case "cancel":
      return {
        id,
        method: "cancel",
        params: { run_id: runId(params), grace_ms: orNull(params.grace_ms, "grace_ms") },
      };
    case "list":
      return { id, method: "list", params: {} };
    case "forget":
      return { id, method: "forget", params: { run_id: runId(params) } };
    case "shutdown":
      return { id, method: "shutdown", params: {} };
    default:
      throw wrong(`method ${String(request.method)}`);
  }
}

function parseSpec(value: unknown): RunSpec {
  const spec = fields(value, "spec");
  const argv = strings(spec.argv, "argv");
  if (argv.length === 0) throw wrong("argv");
  return {
    run_id: runId(spec),
    executable: identity(spec.executable, "executable"),
    argv,
    cwd: identity(spec.cwd, "cwd"),
    env: environment(spec.env),
    sandbox: sandbox(spec.sandbox),
    limits: limits(spec.limits),
    stdin: boolean(spec.stdin, "stdin"),
  };
}

function limits(value: unknown): RunLimits {
  const all = fields(value, "limits");
  return {
    max_runtime_ms: count(all.max_runtime_ms, "max_runtime_ms"),
    max_output_bytes: count(all.max_output_bytes, "max_output_bytes"),
    max_memory_bytes: orNull(all.max_memory_bytes, "max_memory_bytes"),
    max_processes: orNull(all.max_processes, "max_processes"),
    max_file_bytes: orNull(all.max_file_bytes, "max_file_bytes"),
    max_cpu_seconds: orNull(all.max_cpu_seconds, "max_cpu_seconds"),
  };
}

function sandbox(value: unknown): SandboxRequest {
  const request = fields(value, "sandbox");
  if (request.backend === "none") return { backend: "none" };
  if (request.backend !== "bubblewrap") throw wrong("sandbox.backend");
  if (request.network !== "deny" && request.network !== "allow") throw wrong("sandbox.network");
  return {
    backend: "bubblewrap",
    network: request.network,
    writable_paths: paths(request.writable_paths, "writable_paths"),
    read_only_paths: paths(request.read_only_paths, "read_only_paths"),
    hidden_paths: paths(request.hidden_paths, "hidden_paths"),
  };
}

function identity(value: unknown, name: string): FileIdentity {
  const file = fields(value, name);
  const path = text(file.path, `${name}.path`);
  if (!isAbsolute(path)) throw wrong(`${name}.path`);
  return { path, dev: count(file.dev, `${name}.dev`), ino: count(file.ino, `${name}.ino`) };
}

function environment(value: unknown): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, one] of Object.entries(fields(value, "env"))) {
    if (name === "" || name.includes("=") || name.includes("\0")) throw wrong("env");
    env[name] = text(one, `env.${name}`);
  }
  return env;
}

function runId(params: Fields): string {
  return checkRunId(text(params.run_id, "run_id"));
}

function stream(value: unknown): RunStream {
  if (value !== "stdout" && value !== "stderr") throw wrong("stream");
  return value;
}

function paths(value: unknown, name: string): string[] {
  const all = strings(value, name);
  if (!all.every(isAbsolute)) throw wrong(name);
  return all;
}

function strings(value: unknown, name: string): string[] {
  if (!Array.isArray(value)) throw wrong(name);
  return value.map((one) => text(one, name));
}

/** A string that may become part of an argv or an environment. */
function text(value: unknown, name: string): string {
  if (typeof value !== "string" || value.includes("\0")) throw wrong(name);
  return value;
}

function boolean(value: unknown, name: string): boolean {
  if (typeof value !== "boolean") throw wrong(name);
  return value;
}

function count(value: unknown, name: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw wrong(name);
  return value;
}

function orNull(value: unknown, name: string): number | null {
  return value === null || value === undefined ? null : count(value, name);
}

function fields(value: unknown, name: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(name);
  return { ...value };
}

function wrong(name: string): Error {
  return mxError("MX_PROTOCOL", { detail: `the runner was sent a wrong ${name}`, hint: "" });
}

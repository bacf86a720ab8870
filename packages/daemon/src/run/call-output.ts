import { MAX_CONTENT_BYTES } from "@mx-agent/protocol";
import type { RunEnd, RunnerClient, RunStream } from "@mx-agent/runner";
import type { CallOutput } from "../publish/call-result.ts";

/** Of each stream: more than a response has room for. */
const MAX_BYTES = MAX_CONTENT_BYTES;

/** The beginning of what a tool wrote, as much of it as a response can carry. */
export async function callOutput(runner: RunnerClient, run_id: string, end: RunEnd): Promise<CallOutput> {
  return {
    stdout: await read(runner, run_id, "stdout", end.stdout_bytes),
    stderr: await read(runner, run_id, "stderr", end.stderr_bytes),
  };
}

async function read(
  runner: RunnerClient,
  run_id: string,
  stream: RunStream,
  written: number,
): Promise<Uint8Array> {
  const bytes = Math.min(written, MAX_BYTES);
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < bytes; ) {
    const part = await runner.read(run_id, stream, offset, bytes - offset);
    if (part.length === 0) break;
    parts.push(part);
    offset += part.length;
  }
  return Buffer.concat(parts);
}

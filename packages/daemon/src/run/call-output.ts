import type { RunEnd, RunnerClient, RunStream } from "@mx-agent/runner";

/** Output of a tool that fits a response; what is larger is cut, and says so. */
const MAX_BYTES = 24 * 1024;

/** What a tool wrote, as much of each stream as a response carries. */
export async function callOutput(
  runner: RunnerClient,
  run_id: string,
  end: RunEnd,
): Promise<{ stdout: Uint8Array; stderr: Uint8Array }> {
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

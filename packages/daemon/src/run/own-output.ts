import { setTimeout as pause } from "node:timers/promises";
import type { ExecOutput } from "@mx-agent/ipc";
import type { RunnerClient, RunStream } from "@mx-agent/runner";
import type { ExecutionTable } from "../state/executions.ts";

const PIECE = 64 * 1024;
const LOOK_MS = 200;

export interface OwnOutput {
  runner: RunnerClient;
  executions: ExecutionTable;
  /** The run whose spool is read. */
  run_id: string;
  /** Whether to go on until the run has ended. */
  follow: boolean;
  signal: AbortSignal;
  send(item: ExecOutput): Promise<void>;
}

/** Hands out what a run of this machine wrote, from its beginning, out of the runner's spool. */
export async function sendOwnOutput({
  runner,
  executions,
  run_id,
  follow,
  signal,
  send,
}: OwnOutput): Promise<void> {
  const offsets: Record<RunStream, number> = { stdout: 0, stderr: 0 };
  for (;;) {
    // Looked at before the spool is read: what was written until then is in it.
    const over = executions.byRun(run_id)?.state === "ended";
    for (const stream of ["stdout", "stderr"] as const) {
      for (;;) {
        const bytes = await runner.read(run_id, stream, offsets[stream], PIECE);
        if (bytes.length === 0 || signal.aborted) break;
        offsets[stream] += bytes.length;
        await send({ type: "chunk", stream, data: Buffer.from(bytes).toString("base64") });
      }
    }
    if (over || !follow || signal.aborted) return;
    await pause(LOOK_MS);
  }
}

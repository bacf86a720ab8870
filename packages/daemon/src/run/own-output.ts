import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ExecOutput } from "@mx-agent/ipc";
import type { RunnerClient, RunStream } from "@mx-agent/runner";
import { ChunkIndex } from "../publish/chunk-index.ts";
import type { ExecutionState, ExecutionTable } from "../state/executions.ts";

const PIECE = 64 * 1024;
const LOOK_MS = 200;

/** What is held or was refused has no spool. */
const HAS_OUTPUT = new Set<ExecutionState | undefined>(["running", "ended"]);

export interface OwnOutput {
  runner: RunnerClient;
  executions: ExecutionTable;
  /** The run whose spool is read. */
  run_id: string;
  /** Where chunk boundaries are kept, and with them when output came. */
  indexDir: string;
  /** Leaves out what came before, milliseconds since the epoch; null: from the beginning. */
  since_ts: number | null;
  /** Whether to go on until the run has ended. */
  follow: boolean;
  signal: AbortSignal;
  send(item: ExecOutput): Promise<void>;
}

/** Hands out what a run of this machine wrote, out of the runner's spool. */
export async function sendOwnOutput({
  runner,
  executions,
  run_id,
  indexDir,
  since_ts,
  follow,
  signal,
  send,
}: OwnOutput): Promise<void> {
  const begin = (stream: RunStream) =>
    since_ts === null ? 0 : offsetSince(join(indexDir, `${run_id}.${stream}`), since_ts);
  const offsets: Record<RunStream, number> = { stdout: begin("stdout"), stderr: begin("stderr") };
  for (;;) {
    // Looked at before the spool is read: what was written until then is in it.
    const state = executions.byRun(run_id)?.state;
    const over = state === undefined || state === "ended" || state === "rejected";
    for (const stream of HAS_OUTPUT.has(state) ? (["stdout", "stderr"] as const) : []) {
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

/** Where the first chunk begins that is not older; output that was never cut into chunks is given from its beginning. */
function offsetSince(file: string, since_ts: number): number {
  if (!existsSync(file)) return 0;
  const index = new ChunkIndex(file);
  index.close();
  for (let seq = 0; seq < index.count; seq++)
    if ((index.timeOf(seq) ?? 0) >= since_ts) return index.range(seq)?.offset ?? 0;
  return index.end;
}

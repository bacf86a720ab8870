/** What a runner does about the runs of an earlier one that was killed. */
import { brandOf } from "./brand.ts";
import type { Machine } from "./machine.ts";
import type { RunRecord, Spool } from "./spool.ts";
import { ProcessTree } from "./tree.ts";

/** Every run without an end, with its record where it got that far. */
export async function unfinishedRuns(spool: Spool): Promise<Map<string, RunRecord | null>> {
  const unfinished = new Map<string, RunRecord | null>();
  for (const run_id of await spool.ids())
    if ((await spool.readEnd(run_id)) === null) unfinished.set(run_id, await spool.readRecord(run_id));
  return unfinished;
}

/** Makes sure that nothing of these runs is left, and then writes that they were interrupted. */
export async function endInterrupted(
  machine: Machine,
  unfinished: ReadonlyMap<string, RunRecord | null>,
): Promise<void> {
  await Promise.all(
    [...unfinished].map(async ([run_id, record]) => {
      if (record !== null && record.boot_id === machine.boot_id) await endLeftovers(machine, record);
      await writeInterrupted(machine, run_id, record);
    }),
  );
}

async function endLeftovers(machine: Machine, record: RunRecord): Promise<void> {
  const { brand } = record;
  const root = {
    pid: record.pid ?? -1,
    start_time: record.start_time ?? 0,
    brand,
    spared: new Set<number>(),
  };
  // Their parents may be gone, whoever adopted them: the brand alone finds them.
  const tree = new ProcessTree(
    root,
    (one) =>
      brand !== null && one.pid !== process.pid && one.pid !== process.ppid && brandOf(one.pid) === brand,
  );
  const left = await tree.end(0);
  for (const one of left) machine.log(`pid ${one.pid} of run ${record.run_id} could not be ended`);
}

async function writeInterrupted(machine: Machine, run_id: string, record: RunRecord | null): Promise<void> {
  const { spool } = machine;
  const [stdout, stderr] = [await spool.measure(run_id, "stdout"), await spool.measure(run_id, "stderr")];
  const started_at = record?.started_at ?? (await spool.startedAt(run_id));
  const ended_at = machine.now();
  await machine.keepWriting(() =>
    spool.writeEnd({
      run_id,
      pid: record?.pid ?? null,
      started_at,
      stdout_bytes: stdout.bytes,
      stderr_bytes: stderr.bytes,
      stdin_bytes: 0,
      stdin_ended: true,
      end: {
        outcome: "interrupted",
        exit_code: null,
        signal: null,
        error: null,
        duration_ms: Math.max(0, ended_at.getTime() - Date.parse(started_at)),
        stdout_bytes: stdout.bytes,
        stderr_bytes: stderr.bytes,
        stdout_sha256: stdout.sha256,
        stderr_sha256: stderr.sha256,
        truncated: false,
        ended_at: ended_at.toISOString(),
      },
    }),
  );
}

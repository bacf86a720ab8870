/** What is kept of what is over, and for how long: records, spools, chunk boundaries, the logs of processes. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { boundLog } from "@mx-agent/base";
import type { Result } from "@mx-agent/ipc";
import type { RunnerClient } from "@mx-agent/runner";
import { removeStdinFiles } from "./request/stdin-files.ts";
import type { Tables } from "./state/tables.ts";

/** How long ended invocations and their output are kept, how many of each side, and how much output in all. */
const KEEP_MS = 7 * 24 * 3_600_000;
const KEEP_RUNS = 10_000;
const KEEP_BYTES = 4 * 1024 ** 3;

export interface RetentionParts {
  tables: Pick<Tables, "db" | "executions" | "requests">;
  runner: Pick<RunnerClient, "list" | "forget">;
  /** Our data directory. */
  dataDir: string;
  /** Where chunk boundaries are kept. */
  indexDir: string;
  now(): number;
}

export class Retention {
  readonly #parts: RetentionParts;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
  }

  /** Keeps what is kept within bounds: by age, by number, and by what the spools take. */
  async tidy(): Promise<void> {
    const { tables, dataDir, indexDir, now } = this.#parts;
    const { executions, requests } = tables;
    for (const log of ["daemon.log", join("runs", "runner.log")]) boundLog(join(dataDir, log));
    const tooOld = now() - KEEP_MS;
    const excess = executions.excess(KEEP_RUNS, KEEP_BYTES) ?? 0;
    await this.#pruneRuns(Math.max(tooOld, excess + 1));
    requests.deleteEndedBefore(Math.max(tooOld, (requests.excess(KEEP_RUNS) ?? 0) + 1));
    if (existsSync(indexDir)) removeStdinFiles(indexDir, requests);
  }

  /** Removes what ended so long ago, whatever else is kept. */
  async prune(older_than_ms: number): Promise<Result<"invocation.prune">> {
    const before = this.#parts.now() - older_than_ms;
    const { pruned, bytes } = await this.#pruneRuns(before);
    return { pruned: pruned + this.#parts.tables.requests.deleteEndedBefore(before), bytes };
  }

  async #pruneRuns(before: number): Promise<Result<"invocation.prune">> {
    const { tables, runner, indexDir } = this.#parts;
    const { db, executions } = tables;
    let bytes = 0;
    const ended = executions.endedBefore(before);
    const pruned = new Set(ended.map(({ run_id }) => run_id));
    for (const { run_id, end } of await runner.list()) {
      // A spool without a record is left from a database that was moved away or restored.
      if (end === null || !(pruned.has(run_id) || executions.byRun(run_id) === undefined)) continue;
      bytes += end.stdout_bytes + end.stderr_bytes;
      await runner.forget(run_id);
    }
    for (const { run_id } of ended)
      for (const stream of ["stdin", "stdout", "stderr"])
        rmSync(join(indexDir, `${run_id}.${stream}`), { force: true });
    db.transaction(() => {
      for (const { run_id } of ended) executions.delete(run_id);
    });
    return { pruned: ended.length, bytes };
  }
}

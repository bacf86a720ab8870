/** The runner that had this directory before: what it left must be gone before its runs are called ended. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { replaceFile } from "./durable.ts";
import { bootId, isAlive, processInfo } from "./processes.ts";
import { signal } from "./tree.ts";

/** How long an old guard may take to end what its runner left, before it is ended itself. */
const GUARD_MS = 20_000;

interface GuardRecord {
  boot_id: string;
  pid: number;
  start_time: number;
}

/** Waits until the guard of the last runner has done its work, and writes down ours. Call it under the lock. */
export async function endPredecessor(dir: string): Promise<void> {
  const path = join(dir, "guard.json");
  const old = await readGuard(path);
  const boot_id = bootId();
  if (old !== null && old.boot_id === boot_id && old.pid !== process.ppid) {
    const deadline = performance.now() + GUARD_MS;
    while (isAlive(old.pid, old.start_time)) {
      if (performance.now() > deadline) signal(old.pid, "SIGKILL");
      await wait(10);
    }
  }
  const guard = processInfo(process.ppid);
  if (guard !== null)
    await replaceFile(path, JSON.stringify({ boot_id, pid: guard.pid, start_time: guard.start_time }));
}

async function readGuard(path: string): Promise<GuardRecord | null> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && "code" in error)) return null;
    throw error;
  }
}

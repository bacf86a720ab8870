import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "@mx-agent/base";

/** `homeserver.json`: what is running on a data directory. Written by the server once it answers. */
export interface RunningHomeserver {
  readonly pid: number;
  readonly url: string;
  /** RFC 3339, UTC. */
  readonly started_at: string;
}

const runningFile = (dataDir: string) => join(dataDir, "homeserver.json");

/** Where a server in the background writes what it has to say. */
export const logFile = (dataDir: string): string => join(dataDir, "homeserver.log");

/** Writes `homeserver.json`; only the process that holds the data directory's lock may. */
export function writeRunning(dataDir: string, running: RunningHomeserver): void {
  writeFileAtomic(runningFile(dataDir), `${JSON.stringify(running)}\n`);
}

export async function removeRunning(dataDir: string): Promise<void> {
  await rm(runningFile(dataDir), { force: true });
}

/** What the file says; undefined where there is none. */
export function readRunning(dataDir: string): RunningHomeserver | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(runningFile(dataDir), "utf8"));
    const { pid, url, started_at } = value as Partial<RunningHomeserver>;
    if (typeof pid !== "number" || typeof url !== "string" || typeof started_at !== "string")
      return undefined;
    return { pid, url, started_at };
  } catch {
    // No file, or half of one: nobody has said that anything is running.
    return undefined;
  }
}

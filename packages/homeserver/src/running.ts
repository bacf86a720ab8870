import { readFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** `homeserver.json`: what is running on a data directory. Written by the server once it answers. */
export interface RunningHomeserver {
  readonly pid: number;
  readonly url: string;
  /** RFC 3339, UTC. */
  readonly started_at: string;
}

/** Writes `homeserver.json`; only the process that holds the data directory's lock may. */
export async function writeRunning(dataDir: string, running: RunningHomeserver): Promise<void> {
  const temporary = join(dataDir, ".homeserver.json.new");
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(`${JSON.stringify(running)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(dataDir, "homeserver.json"));
}

export async function removeRunning(dataDir: string): Promise<void> {
  await rm(join(dataDir, "homeserver.json"), { force: true });
}

/** What the file says; undefined where there is none. */
export function readRunning(dataDir: string): RunningHomeserver | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(dataDir, "homeserver.json"), "utf8"));
    const { pid, url, started_at } = value as Partial<RunningHomeserver>;
    if (typeof pid !== "number" || typeof url !== "string" || typeof started_at !== "string")
      return undefined;
    return { pid, url, started_at };
  } catch {
    // No file, or half of one: nobody has said that anything is running.
    return undefined;
  }
}

/**
 * Every named kill point, one after another: a process is ended with SIGKILL there, started again, and what became
 * of one command is looked at. The side effect that is counted is a line that the command appends to a file.
 */
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isAlive } from "../../../cli/src/background/alive.ts";
import type { Machine, Ran } from "../../../cli/test/support/machine.ts";
import { eventually, type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";

/** Points that one command in a plain room, between daemons that only restart, does not pass. */
const NOT_ON_THE_WAY = ["backfill.", "crypto-store.", "runner.forget.", "write_file.", "request."];

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons();
});
afterAll(() => they?.close());

const points = killPoints();
let runs = 0;

describe("one command, and the executing daemon is killed", () => {
  test.each(points.filter((point) => !point.startsWith("runner.")))("at %s", async (point) => {
    const { ended, starts, hit } = await commandWhile(they.builder, point);
    if (!isOffTheWay(point)) expect(hit, "the kill point was passed").toBe(true);
    expect(ended).toMatchObject({ code: 4, stdout: "out\n" });
    expect(starts).toBe(1);
  });
});

describe("one command, and the caller's daemon is killed", () => {
  const passed = ["request.", "outbox.", "inbox.", "sync."];
  test.each(points.filter((point) => passed.some((prefix) => point.startsWith(prefix))))(
    "at %s",
    async (point) => {
      const { ended, starts } = await commandWhile(they.laptop, point);
      // Before the request was recorded nobody knows of it, and the caller is told so.
      if (ended.code === 69) expect(starts).toBe(0);
      else {
        expect(ended).toMatchObject({ code: 4, stdout: "out\n" });
        expect(starts).toBe(1);
      }
    },
  );
});

describe("one command, and the runner is killed", () => {
  test.each(points.filter((point) => point.startsWith("runner.") && !isOffTheWay(point)))(
    "at %s",
    async (point) => {
      const { ended, starts } = await commandWhile(they.builder, point);
      expect(starts).toBeLessThanOrEqual(1);
      // Either it had ended before, or it is said to be interrupted: never a success without a run.
      if (ended.code === 4) expect(starts).toBe(1);
      else expect(ended.stderr).toMatch(/interrupted|ended with the runner/i);
    },
  );
});

interface Watched {
  ended: Ran;
  /** How often the command began. */
  starts: number;
  /** Whether the process died at the point. */
  hit: boolean;
}

/** Runs one command while that machine's daemon (and the runner that it starts) has the kill point set. */
async function commandWhile(machine: Machine, point: string): Promise<Watched> {
  const file = join(they.project, `starts-${++runs}`);
  await machine.ask(["daemon", "stop"]);
  await machine.run(["daemon", "start"], { env: { MX_AGENT_FAILPOINT: point } });
  const live = they.execLive(["sh", "-c", `echo started >> ${file}; echo out; exit 4`], ["--stdin", "none"]);
  let over = false;
  void live.ended.then(() => {
    over = true;
  });
  let hit = false;
  await eventually(async () => {
    const { code } = await machine.run(["daemon", "status"]);
    hit = code !== 0;
    return hit || over;
  }, 400);
  await restartWithout(machine);
  const ended = await live.ended;
  return { ended, starts: await linesOf(file), hit: hit || !over };
}

/** Ends what still has the kill point set, and starts a daemon without one. */
async function restartWithout(machine: Machine): Promise<void> {
  const status = await machine.run(["daemon", "status", "--json"]);
  if (status.code === 0) {
    const { pid }: { pid: number } = JSON.parse(status.stdout);
    process.kill(pid, "SIGKILL");
    await eventually(async () => !isAlive(pid));
  }
  await machine.startDaemon();
}

async function linesOf(file: string): Promise<number> {
  try {
    return (await readFile(file, "utf8")).trimEnd().split("\n").length;
  } catch {
    return 0;
  }
}

function isOffTheWay(point: string): boolean {
  return NOT_ON_THE_WAY.some((prefix) => point.startsWith(prefix));
}

/** Every `failpoint("…")` in the sources of the daemon and of the runner. */
function killPoints(): string[] {
  const names = new Set<string>();
  for (const name of ["base", "daemon", "runner"]) {
    const dir = fileURLToPath(new URL(`../../../${name}/src`, import.meta.url));
    for (const entry of readdirSync(dir, { recursive: true, encoding: "utf8" })) {
      if (!entry.endsWith(".ts")) continue;
      const text = readFileSync(join(dir, entry), "utf8");
      for (const [, point] of text.matchAll(/failpoint\("([^"]+)"\)/g)) if (point) names.add(point);
    }
  }
  return [...names].sort();
}

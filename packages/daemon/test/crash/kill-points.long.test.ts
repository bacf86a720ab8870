/**
 * Every named kill point, one after another: a process is ended with SIGKILL there, started again, and what became
 * of one command is looked at. The side effect that is counted is a line that the command appends to a file.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isAlive } from "../../../cli/src/background/alive.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box, linesOf, scale, until } from "./support/box.ts";

/** What one command in a plain room does not pass: they have crash tests of their own. */
const OFF_THE_WAY = ["backfill.", "crypto-store.", "runner.forget.", "write_file."];
/** Passed more than once on the way of one command; the full run kills at each of these passages. */
const PASSED_AGAIN: Record<string, number[]> = { "outbox.": [3] };

let they: TwoDaemons;
let laptop: Box;
let builder: Box;
beforeAll(async () => {
  they = await twoDaemons();
  [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
});
afterAll(() => they?.close());

const points = killPoints().filter((point) => !OFF_THE_WAY.some((prefix) => point.startsWith(prefix)));
/** How often each command may have begun, in the end: none is started late. */
const allowed = new Map<string, number[]>();

describe("one command, and the executing daemon is killed", () => {
  const passed = points.filter((point) => !point.startsWith("runner.") && !point.startsWith("request."));
  test.each(withLaterPassages(passed))("at %s", async (point) => {
    const { file, live } = command();
    await builder.kill();
    builder.start(point);
    await Promise.race([builder.died, live.ended]);
    if (!point.includes(":")) expect(builder.alive, "the kill point was passed").toBe(false);
    await builder.kill();
    builder.start();
    expect(await live.ended).toMatchObject({ code: 4, stdout: "out\n" });
    expect(await linesOf(file)).toBe(1);
  });
});

describe("one command, and the caller's daemon is killed", () => {
  const passed = ["request.", "outbox.", "inbox.", "sync."];
  /** Before the commit of the transaction that records the request. */
  const unrecorded = new Set(["request.before_record", "outbox.before_enqueue", "outbox.after_enqueue"]);
  const ofCaller = points.filter((point) => passed.some((prefix) => point.startsWith(prefix)));
  test.each(ofCaller)("at %s", async (point) => {
    await builder.answers();
    let passage = 1;
    // Its own state goes out and comes in first: what kills it before it has named the request is passed over.
    while (!(await killedInFlight(point, passage))) expect(++passage).toBeLessThan(9);
  });

  /** Whether the caller's daemon was killed there while its command was under way. */
  async function killedInFlight(point: string, passage: number): Promise<boolean> {
    await laptop.kill();
    laptop.start(`${point}:${passage}`);
    if (!(await laptop.answers())) return false;
    const { file, live } = command();
    await Promise.race([laptop.died, live.ended]);
    const hit = !laptop.alive;
    await laptop.kill();
    laptop.start();
    const ended = await live.ended;
    if (ended.code === 69 && ended.stderr.includes("MX_DAEMON_UNREACHABLE")) {
      allowed.set(file, [0]);
      return false;
    }
    if (ended.code === 3 && unrecorded.has(point)) {
      // It was named and then never recorded: that is what the caller hears, and nothing begins.
      expect(ended.stderr).toContain("MX_NOT_FOUND");
      allowed.set(file, [0]);
      return true;
    }
    // How often it was passed before the command came differs; its first passage was the command's or before.
    if (passage === 1) expect(hit, "the kill point was passed").toBe(true);
    expect(ended).toMatchObject({ code: 4, stdout: "out\n" });
    expect(await linesOf(file)).toBe(1);
    return true;
  }
});

describe("one command, and the runner is killed", () => {
  test.each(points.filter((point) => point.startsWith("runner.")))("at %s", async (point) => {
    await Promise.all([builder.kill(), laptop.answers()]);
    await builder.killRunner();
    builder.start(point);
    const first = await armedRunner();
    const { file, live } = command();
    let over = false;
    void live.ended.then(() => {
      over = true;
    });
    await until(async () => over || first === undefined || !isAlive(first));
    const hit = first === undefined || !isAlive(first);
    await builder.kill();
    await builder.killRunner();
    builder.start();
    const ended = await live.ended;
    expect(hit, "the kill point was passed").toBe(true);
    allowed.set(file, [0, 1]);
    // Either it had ended before, or it is said to be interrupted: never a success without a run.
    if (ended.code === 4) expect(await linesOf(file)).toBe(1);
    else {
      expect(ended.code).toBe(74);
      expect(ended.stderr).toContain("interrupted");
      expect(ended.stderr).toContain("mx-agent: MX_STREAM_INCOMPLETE");
    }
  });
});

test("no command began later, or again, or is still there", async () => {
  for (const [file, numbers] of allowed) expect(numbers, file).toContain(await linesOf(file));
  expect(await builder.answers()).toBe(true);
  const { running_invocations } = await builder.ask("daemon.status", {});
  expect(running_invocations).toBe(0);
});

let commands = 0;

function command() {
  const file = join(they.project, `starts-${++commands}`);
  allowed.set(file, [1]);
  const words = ["sh", "-c", `echo started >> ${file}; echo out; exit 4`];
  return { file, live: they.execLive(words, ["--stdin", "none"]) };
}

/** The runner that has the kill point set; undefined when it ended itself before it answered. */
async function armedRunner(): Promise<number | undefined> {
  if (!(await builder.answers())) return undefined;
  return (await builder.ask("daemon.status", {})).runner.pid ?? undefined;
}

function withLaterPassages(names: string[]): string[] {
  if (scale() < 1) return names;
  return names.flatMap((name) => {
    const again = Object.entries(PASSED_AGAIN).find(([prefix]) => name.startsWith(prefix))?.[1] ?? [];
    return [name, ...again.map((n) => `${name}:${n}`)];
  });
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

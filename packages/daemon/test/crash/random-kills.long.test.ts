/**
 * Commands one after another, and every part of what carries them killed at random moments. The full run, a thousand
 * kills, takes most of an hour:
 *
 *   MX_TEST_SCALE=1 npm run test:long -- packages/daemon/test/crash/random-kills
 *
 * MX_TEST_SEED repeats the order of kills and pauses of an earlier run.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box, linesOf, scale } from "./support/box.ts";
import { Errand, type Outcome } from "./support/errand.ts";

const KILLS = Math.max(20, Math.round(1_000 * scale()));
/** On a machine that has other things to do. */
const HOURS_MS = 12 * 3_600_000;
/** Fewer than the policy lets run at once. */
const AT_ONCE = 3;
/** A machine that has no time works between two kills all the same: so many times what a daemon takes to answer. */
const PAUSES = 2;
const VICTIMS = ["executor", "executor", "caller", "caller", "homeserver", "runner"] as const;

let they: TwoDaemons;
let laptop: Box;
let builder: Box;
beforeAll(async () => {
  they = await twoDaemons();
  [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
});
afterAll(() => they?.close());

test(`${KILLS} kills at random moments: nothing runs twice, nothing is lost, and the caller learns the truth`, {
  timeout: HOURS_MS,
}, async () => {
  const seed = Number(process.env.MX_TEST_SEED ?? Math.trunc(Math.random() * 2 ** 31));
  process.stdout.write(`MX_TEST_SEED=${seed}\n`);
  const random = mulberry(seed);
  const runnerDeaths: number[] = [];
  let over = false;
  let answerMs = 150;
  const errands: { errand: Errand; outcome: Outcome; from: number; to: number }[] = [];
  let count = 0;

  async function work(): Promise<void> {
    while (!over) {
      const number = ++count;
      const errand = new Errand({
        number,
        caller: laptop,
        room: they.room,
        project: they.project,
        ms: random(400),
      });
      const from = performance.now();
      const outcome = await errand.run();
      errands.push({ errand, outcome, from, to: performance.now() });
    }
  }

  async function kill(): Promise<void> {
    await pause(random(PAUSES * answerMs));
    const down = random(150);
    switch (VICTIMS[random(VICTIMS.length)]) {
      case "executor":
        await builder.kill();
        await pause(down);
        return builder.start();
      case "caller":
        await laptop.kill();
        await pause(down);
        return laptop.start();
      case "homeserver":
        await they.homeserver.kill("SIGKILL");
        await pause(down);
        return they.homeserver.restart();
      default: {
        const [pid] = builder.runners();
        if (pid === undefined) return;
        runnerDeaths.push(performance.now());
        process.kill(pid, "SIGKILL");
      }
    }
  }

  /** What of the commands so far was told otherwise than it was. */
  async function wrongOnes(): Promise<object[]> {
    const wrong: object[] = [];
    for (const { errand, outcome, from, to } of errands) {
      const starts = await linesOf(errand.file);
      const runnerDied = runnerDeaths.some((at) => at >= from && at <= to);
      if (!isTrue(errand, outcome, starts, runnerDied))
        wrong.push({ outcome, starts, runnerDied, expected: errand.output });
    }
    return wrong;
  }

  const workers = Array.from({ length: AT_ONCE }, work);
  for (let n = 0; n < KILLS; n++) {
    await kill();
    // Most of the time everything gets as far as working again; sometimes the next one dies on its way.
    if (random(4) > 0) {
      const from = performance.now();
      await Promise.all([laptop.answers(), builder.answers()]);
      answerMs = Math.round((3 * answerMs + Math.max(150, performance.now() - from)) / 4);
    }
    if (n % 50 !== 49) continue;
    process.stdout.write(`${n + 1} kills, ${errands.length} commands\n`);
    expect(await wrongOnes()).toEqual([]);
  }
  over = true;
  await Promise.all(workers);
  const heard = Object.groupBy(errands, ({ outcome }) => outcome.type);
  const counts = Object.entries(heard).map(([type, ones]) => `${ones.length} ${type}`);
  process.stdout.write(
    `${KILLS} kills, ${runnerDeaths.length} of a runner: ${errands.length} commands, ${counts.join(", ")}\n`,
  );

  expect(errands.length).toBeGreaterThan(KILLS / 10);
  expect(await wrongOnes()).toEqual([]);
  expect(errands.some(({ outcome }) => outcome.type === "exited")).toBe(true);
  await eventually(async () => (await builder.ask("daemon.status", {})).running_invocations === 0);
  expect(childrenLeft()).toEqual([]);
});

/** Whether what the caller heard is what happened. */
function isTrue(errand: Errand, outcome: Outcome, starts: number, runnerDied: boolean): boolean {
  switch (outcome.type) {
    case "exited":
      return starts === 1 && outcome.exit_code === errand.exit_code && outcome.stdout === errand.output;
    case "interrupted":
      return starts <= 1 && runnerDied && errand.output.startsWith(outcome.stdout);
    case "never recorded":
      return starts === 0;
    case "other":
      return false;
  }
}

/** Commands that still run on the builder. */
function childrenLeft(): string[] {
  return builder
    .processes()
    .map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "))
    .filter((line) => line.includes(join(they.project, "errand")));
}

/** Whole numbers from 0 to below `n`, the same for the same seed. */
function mulberry(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

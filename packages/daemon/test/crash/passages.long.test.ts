/**
 * One command, and every single commit, request and message on its way: a daemon is killed at each of them; and while one
 * process stands still at a kill point, another one is killed. The full run, all of them:
 *
 *   MX_TEST_SCALE=1 npm run test:long -- packages/daemon/test/crash/passages
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import type { Ran } from "../../../cli/test/support/machine.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box, isStopped, scale } from "./support/box.ts";
import { isCallers, isExecutors, isPassedOften, isRunners, killPoints } from "./support/kill-points.ts";
import { Commands } from "./support/one-command.ts";

/** More than a start and a command pass. */
const MANY = 200;
/** A short run looks at every so-manyth passage, point, and pair of a point and who is killed there. */
const EVERY = Math.max(1, Math.round(Math.min(1 / scale(), 24)));
const STEP = Math.min(EVERY, 12);
const points = killPoints();

let they: TwoDaemons;
let commands: Commands;
let boxes: Record<"laptop" | "builder", Box>;
beforeAll(async () => {
  they = await twoDaemons();
  const [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
  boxes = { laptop, builder };
  commands = new Commands(they);
});
afterAll(() => they?.close());

const often = points.filter(isPassedOften);
const passed = [
  ...often.filter(isExecutors).map((point) => ["builder", point] as const),
  ...often.filter(isCallers).map((point) => ["laptop", point] as const),
].filter((_, n) => n % Math.ceil(EVERY / 6) === 0);

describe("one command, and a daemon is killed each time it passes a point", () => {
  test.each(passed)("the %s's, at %s", async (who, point) => {
    const other = who === "builder" ? boxes.laptop : boxes.builder;
    await other.answers();
    let passage = 1;
    let last = await killedAt(boxes[who], point, passage);
    for (; last.hit; last = await killedAt(boxes[who], point, passage)) {
      passage += STEP;
      expect(passage).toBeLessThan(MANY);
    }
    expect(passage, JSON.stringify(last)).toBeGreaterThan(1);
    process.stdout.write(`${who} ${point}: ${passage - 1} passages\n`);
  });
});

/** Whether it was killed there, at its start or while its command was under way, and how that ended. */
async function killedAt(box: Box, point: string, passage: number): Promise<{ hit: boolean; ended?: Ran }> {
  await box.kill();
  box.start(`${point}:${passage}`);
  if (box === boxes.laptop && !(await box.answers())) return { hit: true };
  const command = commands.start();
  await Promise.race([box.died, command.live.ended]);
  const hit = !box.alive;
  await box.kill();
  box.start();
  const ended = await command.live.ended;
  expect(await commands.wrongOf(command, ended, false)).toBeNull();
  return { hit, ended };
}

type Victim = "laptop" | "builder" | "homeserver" | "runner";
const victims: Victim[] = ["laptop", "builder", "homeserver", "runner"];

const standing = [
  ...points.filter(isExecutors).map((point) => ["builder", point] as const),
  ...points.filter(isCallers).map((point) => ["laptop", point] as const),
  ...points.filter(isRunners).map((point) => ["runner", point] as const),
]
  .flatMap(([who, point]) =>
    victims.filter((victim) => victim !== who).map((victim) => [who, point, victim] as const),
  )
  .filter((_, n) => n % EVERY === 0);

describe("one command, and while one stands at a point another one is killed", () => {
  test.each(standing)("the %s at %s, the %s", async (who, point, victim) => {
    const { laptop, builder } = boxes;
    const box = who === "laptop" ? laptop : builder;
    await Promise.all([box.kill(), (who === "laptop" ? builder : laptop).answers()]);
    if (who === "runner") await builder.killRunner();
    box.start(`${point}:1:stop`);
    // A request needs its daemon to be there; what its daemon passes before that, it passes without one.
    if (who === "laptop")
      await eventually(async () => stopped().length > 0 || (await Promise.race([box.answers(), soon()])));
    const command = commands.start();
    let over: Ran | undefined;
    void command.live.ended.then((ended) => {
      over = ended;
    });
    await eventually(async () => over !== undefined || stopped().length > 0);
    const there = stopped();
    // Otherwise it tells nothing of the point: each of them is passed by one command, or at the start before it.
    expect(there, JSON.stringify(over)).not.toEqual([]);
    await kill(victim);
    for (const pid of there) process.kill(pid, "SIGCONT");
    const ended = await command.live.ended;
    expect(await commands.wrongOf(command, ended, victim === "runner")).toBeNull();
    await Promise.all([laptop.answers(), builder.answers()]);
  });
});

/** Of both machines, who stands still. */
function stopped(): number[] {
  const { laptop, builder } = boxes;
  return [laptop.pid, builder.pid, ...builder.runners()].filter(isStopped);
}

const soon = () => new Promise<false>((resolve) => setTimeout(() => resolve(false), 100));

async function kill(victim: Victim): Promise<void> {
  switch (victim) {
    case "homeserver":
      await they.homeserver.kill("SIGKILL");
      return they.homeserver.restart();
    case "runner":
      for (const pid of boxes.builder.runners()) process.kill(pid, "SIGKILL");
      return;
    default:
      await boxes[victim].kill();
      boxes[victim].start();
  }
}

test("no command began later, or again, or is still there", async () => {
  expect(await commands.late()).toEqual([]);
  expect(await boxes.builder.answers()).toBe(true);
  const status = () => boxes.builder.ask("daemon.status", {});
  await eventually(async () => (await status()).running_invocations === 0);
});

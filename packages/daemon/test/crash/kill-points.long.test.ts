/**
 * Every named kill point, one after another: a process is ended with SIGKILL there, started again, and what became
 * of one command is looked at. The side effect that is counted is a line that the command appends to a file. What is
 * passed again and again is killed at each passage in `passages.long.test.ts`.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { isAlive } from "../../../cli/src/background/alive.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box, linesOf } from "./support/box.ts";
import { isCallers, isExecutors, isPassedOften, isRunners, killPoints } from "./support/kill-points.ts";
import { Commands } from "./support/one-command.ts";

let they: TwoDaemons;
let laptop: Box;
let builder: Box;
let commands: Commands;
beforeAll(async () => {
  they = await twoDaemons();
  [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
  commands = new Commands(they);
});
afterAll(() => they?.close());

const points = killPoints().filter((point) => !isPassedOften(point));

describe("one command, and the executing daemon is killed", () => {
  test.each(points.filter(isExecutors))("at %s", async (point) => {
    const { file, live } = commands.start();
    await builder.kill();
    builder.start(point);
    await Promise.race([builder.died, live.ended]);
    expect(builder.alive, "the kill point was passed").toBe(false);
    await builder.kill();
    builder.start();
    expect(await live.ended).toMatchObject({ code: 4, stdout: "out\n" });
    expect(await linesOf(file)).toBe(1);
  });
});

describe("one command, and the caller's daemon is killed", () => {
  test.each(points.filter(isCallers))("at %s", async (point) => {
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
    const command = commands.start();
    await Promise.race([laptop.died, command.live.ended]);
    const hit = !laptop.alive;
    await laptop.kill();
    laptop.start();
    const ended = await command.live.ended;
    expect(await commands.wrongOf(command, ended, false)).toBeNull();
    if (ended.code === 69) return false;
    // How often it was passed before the command came differs; its first passage was the command's or before.
    if (passage === 1) expect(hit, "the kill point was passed").toBe(true);
    return true;
  }
});

describe("one command, and the runner is killed", () => {
  test.each(points.filter(isRunners))("at %s", async (point) => {
    await Promise.all([builder.kill(), laptop.answers()]);
    await builder.killRunner();
    builder.start(point);
    const first = await armedRunner();
    const command = commands.start();
    let over = false;
    void command.live.ended.then(() => {
      over = true;
    });
    await eventually(async () => over || first === undefined || !isAlive(first));
    const hit = first === undefined || !isAlive(first);
    await builder.kill();
    await builder.killRunner();
    builder.start();
    const ended = await command.live.ended;
    expect(hit, "the kill point was passed").toBe(true);
    // Either it had ended before, or it is said to be interrupted: never a success without a run.
    expect(await commands.wrongOf(command, ended, true)).toBeNull();
  });
});

test("no command began later, or again, or is still there", async () => {
  expect(await commands.late()).toEqual([]);
  expect(await builder.answers()).toBe(true);
  const { running_invocations } = await builder.ask("daemon.status", {});
  expect(running_invocations).toBe(0);
});

/** The runner that has the kill point set; undefined when it ended itself before it answered. */
async function armedRunner(): Promise<number | undefined> {
  if (!(await builder.answers())) return undefined;
  return (await builder.ask("daemon.status", {})).runner.pid ?? undefined;
}

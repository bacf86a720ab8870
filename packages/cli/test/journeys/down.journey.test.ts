/** `down`: what stops, what goes on, and what is gone for good. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chosenKind, startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { isAlive } from "../../src/background/alive.ts";
import type { DownResult } from "../../src/setup/down.ts";
import {
  bareMachine,
  closeAll,
  type Machine,
  type RunningCommand,
  startMachine,
} from "../support/machine.ts";
import { joinFlags, type Up, upFlags } from "../support/set-up.ts";

const hasSandbox = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "true"]).status === 0;
const sandboxed = test.skipIf(!hasSandbox);

let homeserver: TestHomeserver | undefined;
let laptop: Machine;
let builder: Machine;
beforeAll(async () => {
  homeserver = chosenKind() === "embedded" ? undefined : await startHomeserverForTests();
  laptop = await bareMachine("laptop", homeserver);
  builder = await bareMachine("builder", homeserver);
  const project = join(builder.home, "project");
  await mkdir(project);
  const { invitation } = await laptop.ask<Up>(upFlags(laptop, homeserver));
  const rule = ["--allow-commands", "sh", "--cwd", project];
  await builder.ask([...joinFlags(builder, invitation?.link ?? "", homeserver), ...rule]);
});
afterAll(async () => {
  await closeAll([builder, laptop]);
  await homeserver?.close();
});

/** A remote command that runs until it is ended. */
async function endless(): Promise<RunningCommand> {
  const live = laptop.spawn([
    "exec",
    "--agent",
    "builder",
    "--stdin",
    "none",
    "--",
    "sh",
    "-c",
    "echo on; sleep 600",
  ]);
  await live.until("on\n");
  return live;
}

sandboxed("a command that runs goes on under the runner, until --cancel ends it", async () => {
  const live = await endless();
  const pid = await builder.daemonPid();
  const down = await builder.ask<DownResult>(["down"]);
  expect(down).toMatchObject({ daemon: pid, running: [expect.stringMatching(/^inv_/)], cancelled: [] });
  expect(isAlive(pid)).toBe(false);
  expect((await builder.ask<Up>(["up", "--no-invite"])).changed).toEqual(["daemon"]);
  expect(await builder.ask<DownResult>(["down", "--cancel"])).toMatchObject({
    ...{ running: [], cancelled: down.running },
  });
  // Its end is known here once the builder is there to say so.
  await builder.ask(["up", "--no-invite"]);
  expect((await live.ended).code).toBeGreaterThan(128);
});

sandboxed("--cancel ends what runs, also where its daemon was stopped before", async () => {
  const live = await endless();
  await builder.ask(["down"]);
  expect(await builder.ask<DownResult>(["down", "--cancel"])).toMatchObject({
    ...{ daemon: null, running: [], cancelled: [expect.any(String)] },
  });
  await builder.ask(["up", "--no-invite"]);
  expect((await live.ended).code).toBeGreaterThan(128);
});

test("where nothing runs it says so, and it may be typed twice", async () => {
  await builder.ask(["down"]);
  expect(await builder.ask<DownResult>(["down"])).toMatchObject({ daemon: null, running: [], removed: [] });
  const shown = await builder.run(["down"]);
  expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining("was not running") });
});

sandboxed("--purge wants to be told so; then commands are ended, and nothing is left here", async () => {
  await builder.ask(["up", "--no-invite"]);
  const live = await endless();
  const asked = await builder.run(["down", "--purge"]);
  expect(asked).toMatchObject({ code: 64, stderr: expect.stringContaining("audit log") });
  expect((await builder.run(["daemon", "status"])).code).toBe(0);
  const purged = await builder.ask<DownResult>(["down", "--purge", "--yes"]);
  expect(purged).toMatchObject({ cancelled: [expect.stringMatching(/^inv_/)] });
  expect(purged.login).toMatchObject({ logged_out: true, homeserver: expect.stringMatching(/^http/) });
  for (const place of ["config", "data", "runtime"])
    expect(existsSync(join(builder.home, place))).toBe(false);
  const agents = await laptop.ask<{ agent_id: string; liveness: string }[]>(["agent", "list", "--ping"]);
  expect(agents.find(({ agent_id }) => agent_id === "builder")).toMatchObject({ liveness: "offline" });
  live.signal("SIGKILL");
  await live.ended;
});

test("where the homeserver cannot be told, --purge removes all the same, and says which device stays there", async () => {
  const away = await startHomeserverForTests({ kind: "embedded", name: "example.org" });
  const machines = [
    await startMachine({ name: "one", homeserver: away }),
    await startMachine({ name: "two", homeserver: away }),
  ];
  const [one, two] = machines;
  try {
    await two?.ask(["daemon", "stop"]);
    const asked = await two?.run(["down", "--purge"]);
    expect(asked?.stderr).toContain("`mx-agent daemon start`");
    await away.kill("SIGKILL");
    expect(await one?.ask<DownResult>(["down", "--purge", "--yes"])).toMatchObject({
      login: { user_id: one?.user, device_id: expect.any(String), homeserver: away.url, logged_out: false },
      removed: expect.arrayContaining([join(one?.home ?? "", "data")]),
    });
    const ended = await two?.run(["down", "--purge", "--yes"]);
    expect(ended?.stdout).toContain("stays logged in: the homeserver could not be told");
    expect(existsSync(join(two?.home ?? "", "data"))).toBe(false);
  } finally {
    await closeAll(machines).finally(() => away.close());
  }
});

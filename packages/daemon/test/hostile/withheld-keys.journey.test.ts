/** A homeserver that brings a request, and its keys later, too late, or never. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { linesOf } from "../crash/support/box.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { throughProxy } from "../support/through-proxy.ts";
import type { DeviceMessage } from "./support/account.ts";
import { HostileSync } from "./support/hostile-sync.ts";

const preload = fileURLToPath(new URL("../outage/support/clock.ts", import.meta.url));
const MINUTE_MS = 60_000;

let homeserver: TestHomeserver;
let proxy: FaultProxy;
let hostile: HostileSync;
let they: TwoDaemons;
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  proxy = await startFaultProxy(homeserver.url);
  they = await twoDaemons({
    homeserver,
    builderHomeserver: throughProxy(homeserver, proxy),
    encrypted: true,
  });
  hostile = new HostileSync(proxy);
  setClocks(0);
  for (const machine of [they.laptop, they.builder]) {
    await machine.ask(["daemon", "stop"]);
    Object.assign(machine.env, { NODE_OPTIONS: `--import=${preload}`, MX_TEST_CLOCK: clockFile() });
    await machine.startDaemon();
  }
});
afterAll(async () => {
  await they?.close();
  await proxy?.close();
  await homeserver?.close();
});

const clockFile = () => join(they.builder.home, "clock");
/** So far ahead of the system's are both clocks from now on. */
const setClocks = (minutes: number) => writeFileSync(clockFile(), String(minutes * MINUTE_MS));

interface Status {
  undecryptable: number;
  sync: { state: string };
}
const statusOf = (machine: TwoDaemons["laptop"]) => machine.ask<Status>(["daemon", "status"]);
const undecryptable = async () => (await statusOf(they.builder)).undecryptable;

/** From here on what is sent to the builder's device stays with the homeserver, until it is served or thrown away. */
async function withhold(): Promise<{ serve(): Promise<void>; forget(): void }> {
  // A new device's first message brings new keys with it.
  await they.laptop.ask(["auth", "logout"]);
  await they.laptop.login();
  await eventually(async () => (await statusOf(they.laptop)).sync.state === "healthy");
  const held: DeviceMessage[] = [];
  const stop = hostile.rewrite((answer) => held.push(...(answer.to_device?.events.splice(0) ?? [])));
  return {
    async serve() {
      stop();
      const served = hostile.next((answer) => {
        answer.to_device = { events: [...held, ...(answer.to_device?.events ?? [])] };
      });
      await they.laptop.run(["agent", "ping", "--room", they.room, "--agent", "builder"]);
      await served;
    },
    forget: stop,
  };
}

const appends = (file: string) => ["sh", "-c", `echo once >> ${file}; echo done`];
const detached = async (file: string) =>
  (await they.exec(appends(file), { flags: ["--detach"] })).stdout.trim();

test("a request whose keys are withheld is kept, is to be seen, and runs once when they come", async () => {
  const file = join(they.project, "later");
  const keys = await withhold();
  const live = they.execLive(appends(file), ["--stdin", "none"]);
  await eventually(async () => (await undecryptable()) === 1);
  expect((await they.builder.run(["daemon", "status"])).stdout).toMatch(/not decrypted yet: +1/);
  await they.builder.ask(["daemon", "restart"]);
  expect(await undecryptable()).toBe(1);
  await keys.serve();
  expect(await live.ended).toMatchObject({ code: 0, stdout: "done\n" });
  expect(await undecryptable()).toBe(0);
  expect(await linesOf(file)).toBe(1);
});

test("a request whose keys come when it has expired does not run", async () => {
  const file = join(they.project, "too-late");
  const keys = await withhold();
  await detached(file);
  await eventually(async () => (await undecryptable()) === 1);
  setClocks(11);
  await keys.serve();
  await eventually(async () => (await undecryptable()) === 0);
  expect(await they.exec(appends(join(they.project, "in-time")))).toMatchObject({ code: 0 });
  expect(await linesOf(file)).toBe(0);
});

test("keys that never come cost the request that nobody answered, and not those that follow", async () => {
  const file = join(they.project, "never");
  const keys = await withhold();
  const invocation = await detached(file);
  await eventually(async () => (await undecryptable()) === 1);
  setClocks(22);
  expect(await they.laptop.run(["invocation", "wait", invocation])).toMatchObject({ code: 69 });
  keys.forget();
  expect(await they.exec(["echo", "again"])).toMatchObject({ code: 0, stdout: "again\n" });
  expect(await linesOf(file)).toBe(0);
});

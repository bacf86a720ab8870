/** A homeserver that serves what is encrypted again, altered, late, the wrong way round, or without saying that it is. */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { linesOf } from "../crash/support/box.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { throughProxy } from "../support/through-proxy.ts";
import type { DeviceMessage } from "./support/account.ts";
import { HostileSync, type ServedSync } from "./support/hostile-sync.ts";

/** Is in every command, and in all output. */
const WORD = "marigold";

let homeserver: TestHomeserver;
let ways: FaultProxy[];
let hostile: HostileSync[];
let they: TwoDaemons;
const lies: (() => void)[] = [];
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  const [laptops, builders] = await Promise.all([
    startFaultProxy(homeserver.url),
    startFaultProxy(homeserver.url),
  ]);
  ways = [laptops, builders];
  hostile = ways.map((way) => new HostileSync(way));
  they = await twoDaemons({
    homeserver: throughProxy(homeserver, laptops),
    builderHomeserver: throughProxy(homeserver, builders),
    encrypted: true,
  });
  await says("the first", 1);
});
afterEach(() => {
  for (const stop of lies.splice(0)) stop();
  const told = ways.flatMap(({ requests }) => requests.filter(({ body }) => body.includes(WORD)));
  expect(told.map(({ path }) => path)).toEqual([]);
});
afterAll(async () => {
  await they?.close();
  await Promise.all((ways ?? []).map((way) => way.close()));
  await homeserver?.close();
});

/** Both are told this from now on. */
function lie(change: (answer: ServedSync) => void): void {
  lies.push(...hostile.map((server) => server.rewrite(change)));
}

/** A command of so many lines gives them all, and runs once. */
async function says(mark: string, lines: number): Promise<void> {
  const file = join(they.project, mark.replaceAll(" ", "-"));
  const loop = `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo ${WORD} $i; sleep 0.05; done`;
  const output = Array.from({ length: lines }, (_, n) => `${WORD} ${n + 1}\n`).join("");
  expect(await they.exec(["sh", "-c", `echo once >> ${file}; ${loop}`])).toMatchObject({
    code: 0,
    stdout: output,
  });
  expect(await linesOf(file)).toBe(1);
}

const restart = () =>
  Promise.all([they.laptop, they.builder].map((machine) => machine.ask(["daemon", "restart"])));

test("a sync that is rolled back runs nothing again and loses nothing", async () => {
  for (const [n, server] of hostile.entries()) {
    const served: string[] = [];
    const stop = server.rewrite((answer) => served.push(JSON.stringify(answer)));
    await says(`recorded ${n}`, 2);
    stop();
    const left = [...served];
    // Each with the position that it had then.
    const again = ways[n]?.on(({ method, path }) => {
      const body = method === "GET" && path.includes("/v3/sync") ? left.shift() : undefined;
      return body === undefined ? undefined : { kind: "answer", status: 200, body };
    });
    await says(`during the rollback ${n}`, 2);
    await eventually(() => left.length === 0);
    again?.();
    await says(`after the rollback ${n}`, 2);
    expect(await linesOf(join(they.project, `recorded-${n}`))).toBe(1);
  }
});

test("messages to a device that are served twice, and again after a restart, are taken once", async () => {
  const old: DeviceMessage[] = [];
  lie((answer) => {
    const events = answer.to_device?.events ?? [];
    old.push(...structuredClone(events));
    if (events.length > 0) answer.to_device = { events: [...events, ...structuredClone(events)] };
  });
  await says("twice", 4);
  await restart();
  for (const stop of lies.splice(0)) stop();
  for (const server of hostile)
    void server.next((answer) => {
      answer.to_device = { events: [...old.slice(-50), ...(answer.to_device?.events ?? [])] };
    });
  await says("again after a restart", 4);
});

test("messages to a device that are altered on their way are asked for again", async () => {
  let n = 0;
  lie((answer) => {
    for (const { type, content } of answer.to_device?.events ?? []) {
      if (type !== "m.room.encrypted" || ++n % 3 !== 0) continue;
      for (const cipher of Object.values<{ body: string }>(Object(content.ciphertext)))
        cipher.body =
          cipher.body.slice(0, 40) + (cipher.body[40] === "A" ? "B" : "A") + cipher.body.slice(41);
    }
  });
  await says("altered", 8);
  expect(n).toBeGreaterThan(3);
  for (const stop of lies.splice(0)) stop();
  await says("after altered ones", 2);
});

test("messages to a device that come late and the wrong way round are put in order", async () => {
  for (const server of hostile) {
    const late: DeviceMessage[] = [];
    lies.push(
      server.rewrite((answer) => {
        const events = late.splice(0).reverse();
        late.push(...(answer.to_device?.events ?? []));
        answer.to_device = { events };
      }),
    );
  }
  await says("late", 8);
});

test("who leaves, and comes back to a room that is shown as plain, goes on encrypted, also after a restart", async () => {
  const { laptop, builder, room } = they;
  lie((answer) => {
    for (const joined of Object.values(answer.rooms?.join ?? {}))
      for (const section of Object.values<{ events?: { type: string }[] }>(Object(joined)))
        if (Array.isArray(section?.events))
          section.events = section.events.filter(({ type }) => type !== "m.room.encryption");
  });
  await builder.ask(["workspace", "leave", room]);
  await laptop.ask(["workspace", "invite", builder.user, "--room", room]);
  await eventually(async () => (await builder.run(["workspace", "accept", room])).code === 0);
  await laptop.ask(["workspace", "grant", builder.user, "--level", "50", "--room", room]);
  await builder.ask(["agent", "register", "--room", room, "--agent", "builder"]);
  await says("hidden", 2);
  await restart();
  await says("hidden and restarted", 2);
});

/** A daemon that is down while others ask it for a great deal. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import {
  policyFor,
  shareWorkspace,
  type TwoDaemons,
  twoDaemons,
} from "../../../cli/test/support/two-daemons.ts";
import { Box } from "../crash/support/box.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { throughProxy } from "../support/through-proxy.ts";

const REQUESTS = 300;
/** So many events of a room come in one /sync. */
const TIMELINE = 10;

let homeserver: TestHomeserver;
let way: FaultProxy;
let they: TwoDaemons;
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  way = await startFaultProxy(homeserver.url);
  way.on(({ path }) => (/\/user\/[^/]+\/filter$/.test(path) ? { kind: "alter", body: narrowed } : undefined));
  they = await twoDaemons({ homeserver: throughProxy(homeserver, way) });
});
afterAll(async () => {
  await they?.close();
  await way?.close();
  await homeserver?.close();
});

test(`${REQUESTS} requests in two rooms for a daemon that is down all run, each once, when it is back`, async () => {
  const second = await shareWorkspace(they.laptop, they.builder);
  const commands = ["sh"];
  const everyRoom = policyFor(they.room, they.laptop.user, commands, they.project).replace(
    "[execution]",
    `[execution]\nmax_concurrent = ${REQUESTS}`,
  );
  const secondRoom = policyFor(second, they.laptop.user, commands, they.project).replace(
    /^.*?(?=\[rooms)/s,
    "",
  );
  await they.builder.setPolicy(`${everyRoom}${secondRoom}`);
  const [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
  const log = join(they.project, "begun");
  await writeFile(log, "");
  await builder.kill();

  const client = await laptop.connect();
  const ids: string[] = [];
  for (let n = 0; n < REQUESTS; n++) {
    const call = client.call("exec.run", {
      room: n % 2 === 0 ? they.room : second,
      agent: "builder",
      command: ["sh", "-c", `echo ${n} >> ${log}`],
      cwd: they.project,
      env: {},
      timeout_ms: null,
      stdin: false,
      detach: true,
    });
    for await (const item of call.output) expect(item.type).toBe("requested");
    ids.push((await call.result).invocation_id);
  }
  client.close();
  await eventually(async () => (await laptop.ask("daemon.status", {})).outbox_depth === 0, "sending them");

  builder.start();
  const states = async () => {
    const all = await laptop.ask("invocation.list", { side: "caller", running: false, limit: 1_000 });
    return ids.map((id) => all.find(({ invocation_id }) => invocation_id === id));
  };
  await eventually(async () => (await states()).every((info) => info?.state === "ended"), "running them");
  for (const info of await states()) expect(info?.result).toMatchObject({ outcome: "exited", exit_code: 0 });
  const begun = readFileSync(log, "utf8").trim().split("\n").map(Number);
  expect(begun.sort((a, b) => a - b)).toEqual(Array.from({ length: REQUESTS }, (_, n) => n));
});

/** The client's filter, with a smaller limit. */
function narrowed(body: string): string {
  const filter: { room: { timeline: { limit: number } } } = JSON.parse(body);
  filter.room.timeline.limit = TIMELINE;
  return JSON.stringify(filter);
}

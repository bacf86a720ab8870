/** The executing machine is gone for longer than half a minute, and the end of a run is all that was heard of it. */
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box } from "../crash/support/box.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { throughProxy } from "../support/through-proxy.ts";

/** Longer than output is asked for of a machine that answers. */
const AWAY_MS = 40_000;

let homeserver: TestHomeserver;
let proxy: FaultProxy;
let they: TwoDaemons;
let laptop: Box;
let builder: Box;
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  proxy = await startFaultProxy(homeserver.url);
  they = await twoDaemons({ homeserver: throughProxy(homeserver, proxy) });
  [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
});
afterAll(async () => {
  await they?.close();
  await proxy?.close();
  await homeserver?.close();
});

test(`output that nobody got is fetched from a machine that comes back after ${AWAY_MS / 1000} s`, async () => {
  const arrives = proxy.on(({ path }) =>
    path.includes("sendToDevice/com.mxagent.stream.chunk")
      ? { kind: "answer", status: 200, body: "{}" }
      : undefined,
  );
  const live = they.execLive(["sh", "-c", "echo all of it; exit 6"], ["--stdin", "none"]);
  await eventually(async () => {
    const [run] = await laptop.ask("invocation.list", { side: "caller", running: false, limit: 1 });
    return run?.state === "ended";
  });
  await builder.kill();
  arrives();
  await pause(AWAY_MS);
  builder.start();
  const ended = await live.ended;
  expect(ended).toMatchObject({ code: 6, stdout: "all of it\n" });
  expect(ended.stderr).toContain("the other machine does not answer");
  const [run] = await laptop.ask("invocation.list", { side: "caller", running: false, limit: 1 });
  expect(run?.result?.complete).toBe(true);
});

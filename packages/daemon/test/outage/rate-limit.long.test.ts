/** A homeserver that answers everything with 429 for a whole minute: two daemons in the middle of their work. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box, linesOf, scale } from "../crash/support/box.ts";
import {
  type FaultProxy,
  type ProxiedAnswer,
  startFaultProxy,
  tooManyRequests,
} from "../support/fault-proxy.ts";

const LIMITED_MS = Math.max(6_000, Math.round(60_000 * scale()));
/** What one answer asks for at most: the minute is one of several that add up to it. */
const ASKED_MS = LIMITED_MS / 6;
/** Kinds of request that a daemon makes; each waits by itself. */
const KINDS = 6;

let homeserver: TestHomeserver;
let proxy: FaultProxy;
let they: TwoDaemons;
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  proxy = await startFaultProxy(homeserver.url);
  const change = (answer: ProxiedAnswer) => ({
    ...answer,
    body: answer.body.replaceAll(homeserver.url, proxy.url),
  });
  proxy.on(({ path }) => (/\/login|\.well-known/.test(path) ? { kind: "rewrite", change } : undefined));
  they = await twoDaemons({ homeserver: { ...homeserver, url: proxy.url } });
});
afterAll(async () => {
  await they?.close();
  await proxy?.close();
  await homeserver?.close();
});

test(`${LIMITED_MS / 1000} s of 429 are waited out as they ask: nothing is lost, run twice or hammered`, async () => {
  const [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
  const began = join(they.project, "began");
  const go = join(they.project, "go");
  const wait = `n=0; while [ ! -e ${go} ] && [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.1; done`;
  const words = ["sh", "-c", `echo before; ${wait}; echo after; exit 3`];
  const live = they.execLive(words, ["--stdin", "none"]);
  await live.until("before\n");

  let refused = 0;
  const end = performance.now() + LIMITED_MS;
  proxy.on(() => {
    const left = end - performance.now();
    if (left <= 0) return undefined;
    refused++;
    return tooManyRequests(Math.ceil(Math.min(left, ASKED_MS)));
  });
  await writeFile(go, "");
  const asked = they.exec(["sh", "-c", `echo began >> ${began}; echo asked meanwhile`]);
  await eventually(async () => (await builder.ask("daemon.status", {})).running_invocations === 0);
  await eventually(async () => (await laptop.ask("daemon.status", {})).sync.state === "rate_limited");

  expect(await live.ended).toMatchObject({ code: 3, stdout: "before\nafter\n" });
  expect(await asked).toMatchObject({ code: 0, stdout: "asked meanwhile\n" });
  expect(performance.now()).toBeGreaterThanOrEqual(end);
  expect(await linesOf(began)).toBe(1);
  // As often as they were told to come back, each daemon with each kind of request, and once more where they overlap.
  expect(refused).toBeLessThanOrEqual(2 * KINDS * (LIMITED_MS / ASKED_MS + 1) * 2);
});

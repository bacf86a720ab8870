/** One command after another while the network, the homeserver, the account and the disk fail. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import type { Machine } from "../../../cli/test/support/machine.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box } from "../crash/support/box.ts";
import { type FaultProxy, garbage, startFaultProxy, tooManyRequests } from "../support/fault-proxy.ts";
import { throughProxy } from "../support/through-proxy.ts";

let homeserver: TestHomeserver;
let proxy: FaultProxy;
let they: TwoDaemons;
let laptop: Box;
let builder: Box;
let names = 0;
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

const NO_STDIN = ["--stdin", "none"];

/** A command that says `before`, waits to be told to go on, for two minutes at most, and says `after`. */
function patient() {
  const go = join(they.project, `go-${++names}`);
  const wait = `n=0; while [ ! -e ${go} ] && [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.1; done`;
  const live = they.execLive(["sh", "-c", `echo before; ${wait}; echo after; exit 3`], NO_STDIN);
  return { live, goOn: () => writeFile(go, "") };
}

const complete = { code: 3, stdout: "before\nafter\n" };

describe("what a journey over a bad line comes to", () => {
  test("a chunk of output that got lost is asked for and fetched", async () => {
    const lost = proxy.next("sendToDevice/com.mxagent.stream.chunk", {
      kind: "answer",
      status: 200,
      body: "{}",
    });
    const { live, goOn } = patient();
    await lost;
    await goOn();
    expect(await live.ended).toMatchObject(complete);
  });

  test("the homeserver goes away for a while and comes back", async () => {
    const { live, goOn } = patient();
    await live.until("before");
    await homeserver.kill("SIGKILL");
    await eventually(async () => (await laptop.ask("daemon.status", {})).sync.state === "degraded");
    await goOn();
    await eventually(async () => (await builder.ask("daemon.status", {})).running_invocations === 0);
    await homeserver.restart();
    expect(await live.ended).toMatchObject(complete);
  });

  test("it is asked to slow down, and does", async () => {
    const limited = proxy.next("/send/com.mxagent.", tooManyRequests(200), 5);
    expect(await they.exec(["echo", "patience"])).toMatchObject({ code: 0, stdout: "patience\n" });
    await limited;
  });

  test("/sync answers with somebody's web page", async () => {
    const answered = proxy.next("/sync", garbage, 4);
    const ran = they.exec(["echo", "found"]);
    await answered;
    expect(await ran).toMatchObject({ code: 0, stdout: "found\n" });
  });

  test("the executing side's login ends in the middle, and somebody logs in again", async () => {
    const { live, goOn } = patient();
    await live.until("before");
    await logOutEverywhere(they.builder);
    await eventually(async () => (await builder.ask("daemon.status", {})).sync.state === "logged_out");
    await goOn();
    await they.builder.login();
    expect(await live.ended).toMatchObject(complete);
  });

  test("the asking side's login ends in the middle, and the output follows its new device", async () => {
    const { live, goOn } = patient();
    await live.until("before");
    await logOutEverywhere(they.laptop);
    await eventually(async () => (await laptop.ask("daemon.status", {})).sync.state === "logged_out");
    await goOn();
    await they.laptop.login();
    expect(await live.ended).toMatchObject(complete);
  });

  test("what a run sent of its beginning gets lost, and is asked about before anybody gives it up", async () => {
    const lost = proxy.on(({ path }) =>
      path.includes("sendToDevice/com.mxagent.exec.accepted")
        ? { kind: "answer", status: 200, body: "{}" }
        : undefined,
    );
    const go = join(they.project, `go-${++names}`);
    const wait = `n=0; while [ ! -e ${go} ] && [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.1; done`;
    const { stdout } = await they.exec(["sh", "-c", wait], { flags: ["--detach"] });
    const id = stdout.trim();
    await eventually(async () => (await builder.ask("daemon.status", {})).running_invocations === 1);
    expect((await laptop.ask("invocation.show", { invocation_id: id })).state).toBe("requested");
    const waiting = they.laptop.run(["invocation", "wait", id]);
    await eventually(
      async () => (await laptop.ask("invocation.show", { invocation_id: id })).state === "running",
    );
    await writeFile(go, "");
    expect((await waiting).code).toBe(0);
    lost();
  });
});

test("a request that the homeserver refuses after the daemon was started again is said in the homeserver's words", async () => {
  const send = "/send/com.mxagent.exec.request";
  const held = proxy.next(send, { kind: "hang" });
  const live = they.execLive(["echo", "never"], NO_STDIN);
  await held;
  const forbidden = JSON.stringify({ errcode: "M_FORBIDDEN", error: "not in this room" });
  const refused = proxy.next(send, { kind: "answer", status: 403, body: forbidden });
  await they.laptop.ask(["daemon", "restart"]);
  await refused;
  const ended = await live.ended;
  expect(ended).toMatchObject({ code: 69, stdout: "" });
  expect(ended.stderr).toContain("the homeserver refused: M_FORBIDDEN not in this room");
  const [asked] = await they.laptop.ask<object[]>(["invocation", "list", "--side", "caller", "--limit", "1"]);
  expect(asked).toMatchObject({ state: "lost", reason: "MX_HOMESERVER_ERROR" });
});

test("what waits to be sent is counted while nobody is logged in, sent after the next login, and answered to the new device", async () => {
  const held = proxy.next("/send/com.mxagent.exec.request", { kind: "hang" });
  const short = they.execLive(["echo", "kept"], NO_STDIN);
  await held;
  const { live, goOn } = patient();
  await eventually(async () => (await laptop.ask("daemon.status", {})).outbox_depth >= 2);
  await logOutEverywhere(they.laptop);
  await eventually(async () => (await laptop.ask("daemon.status", {})).sync.state === "logged_out");
  expect((await laptop.ask("daemon.status", {})).outbox_depth).toBeGreaterThanOrEqual(2);
  await they.laptop.login();
  expect(await short.ended).toMatchObject({ code: 0, stdout: "kept\n" });
  await live.until("before");
  await goOn();
  expect(await live.ended).toMatchObject(complete);
  await eventually(async () => (await laptop.ask("daemon.status", {})).outbox_depth === 0);
});

describe("a caller who left", () => {
  test("reads and awaits, from a new daemon, what he left running", async () => {
    const go = join(they.project, "detached-go");
    const wait = `n=0; while [ ! -e ${go} ] && [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.1; done`;
    const started = await they.exec(["sh", "-c", `echo one; ${wait}; echo two; exit 5`], {
      flags: ["--detach"],
    });
    expect(started.code).toBe(0);
    const id = started.stdout.trim();
    await eventually(
      async () => (await laptop.ask("invocation.show", { invocation_id: id })).state === "running",
    );
    await laptop.kill();
    laptop.start();
    await laptop.answers();
    const logs = they.laptop.spawn(["invocation", "logs", "-f", id]);
    await logs.until("one");
    const waiting = they.laptop.run(["invocation", "wait", id]);
    await writeFile(go, "");
    expect((await logs.ended).stdout).toBe("one\ntwo\n");
    expect((await waiting).code).toBe(5);
    expect((await they.laptop.run(["invocation", "logs", id])).stdout).toBe("one\ntwo\n");
    const pruned = await they.laptop.ask<{ pruned: number }>(["invocation", "prune", "--older-than", "0s"]);
    expect(pruned.pruned).toBeGreaterThan(0);
    expect((await they.laptop.run(["invocation", "show", id])).code).toBe(3);
  });
});

async function logOutEverywhere({ user, password }: Machine): Promise<void> {
  const api = `${homeserver.url}/_matrix/client/v3`;
  const post = (path: string, body: object, token?: string) =>
    fetch(api + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
  const login = await post("/login", {
    type: "m.login.password",
    identifier: { type: "m.id.user", user },
    password,
  });
  const { access_token }: { access_token: string } = JSON.parse(await login.text());
  expect((await post("/logout/all", {}, access_token)).status).toBe(200);
}

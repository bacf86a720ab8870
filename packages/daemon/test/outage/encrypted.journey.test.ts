/** What encryption must survive in daily life: machines that are away in turn, many messages at once, one that is lost. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box, linesOf } from "../crash/support/box.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { throughProxy } from "../support/through-proxy.ts";

let homeserver: TestHomeserver;
/** Each one's way to the homeserver. */
let laptopsWay: FaultProxy;
let buildersWay: FaultProxy;
let they: TwoDaemons;
let laptop: Box;
let builder: Box;
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  [laptopsWay, buildersWay] = await Promise.all([
    startFaultProxy(homeserver.url),
    startFaultProxy(homeserver.url),
  ]);
  they = await twoDaemons({
    homeserver: throughProxy(homeserver, laptopsWay),
    builderHomeserver: throughProxy(homeserver, buildersWay),
    encrypted: true,
  });
  [laptop, builder] = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
});
afterAll(async () => {
  await they?.close();
  await Promise.all([laptopsWay?.close(), buildersWay?.close()]);
  await homeserver?.close();
});

test("two machines that are never there at the same time ask, run and answer", async () => {
  await builder.kill();
  const file = join(they.project, "apart");
  const ids: string[] = [];
  for (const status of [3, 4]) {
    const { stdout } = await they.exec(["sh", "-c", `echo once >> ${file}; exit ${status}`], {
      flags: ["--detach"],
    });
    ids.push(stdout.trim());
  }
  await eventually(
    async () => (await laptop.ask("daemon.status", {})).outbox_depth === 0,
    "the laptop has sent it",
  );
  await laptop.kill();
  builder.start();
  await eventually(async () => (await linesOf(file)) === 2, "both have begun");
  await eventually(async () => {
    const { running_invocations, outbox_depth } = await builder.ask("daemon.status", {});
    return running_invocations === 0 && outbox_depth === 0;
  }, "the builder has answered");
  await builder.kill();
  laptop.start();
  await laptop.answers();
  const waited = await Promise.all(ids.map((id) => they.laptop.run(["invocation", "wait", id])));
  expect(waited.map(({ code }) => code)).toEqual([3, 4]);
  builder.start();
  await builder.answers();
  expect(await they.exec(["echo", "together"])).toMatchObject({ code: 0, stdout: "together\n" });
  expect(await linesOf(file)).toBe(2);
});

/** Asks the homeserver in the name of the laptop's user, from a device of no importance. */
async function asLaptop(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const ask = async (how: string, where: string, what?: object, token?: string) => {
    const response = await fetch(`${homeserver.url}/_matrix/client/v3${where}`, {
      method: how,
      ...(token && { headers: { authorization: `Bearer ${token}` } }),
      ...(what && { body: JSON.stringify(what) }),
    });
    return Object(await response.json());
  };
  const { user, password } = they.laptop;
  const identifier = { type: "m.id.user", user };
  asLaptopToken ??= (await ask("POST", "/login", { type: "m.login.password", identifier, password }))
    .access_token;
  return ask(method, path, body, asLaptopToken);
}
let asLaptopToken: string | undefined;

test("a machine whose login the server ended, but not its device, goes on as that device; what ran before does not run again", async () => {
  const file = join(they.project, "softly");
  const once = () => they.exec(["sh", "-c", `echo once >> ${file}`]);
  expect(await once()).toMatchObject({ code: 0 });
  const room = `/rooms/${encodeURIComponent(they.room)}`;
  const { chunk } = await asLaptop("GET", `${room}/messages?dir=b&limit=50`);
  const ciphertext = (chunk as { type: string; sender: string; content: object }[]).find(
    ({ type, sender }) => type === "m.room.encrypted" && sender === they.laptop.user,
  )?.content;
  const device = await they.builder.ask<{ device_id: string; fingerprint: string }>(["device", "show"]);

  const gone = { errcode: "M_UNKNOWN_TOKEN", error: "the access token has expired", soft_logout: true };
  const again = buildersWay.on(({ path }) =>
    path.includes("/login") ? undefined : { kind: "answer", status: 401, body: JSON.stringify(gone) },
  );
  // What is sent now ends the poll that is under way, and waits.
  const meanwhile = await they.exec(["sh", "-c", `echo meanwhile >> ${file}`], { flags: ["--detach"] });
  await eventually(async () => (await builder.ask("daemon.status", {})).sync.state === "logged_out");
  again();
  await they.builder.login();
  expect(await they.builder.ask(["device", "show"])).toMatchObject(device);
  await they.laptop.ask(["invocation", "wait", meanwhile.stdout.trim()]);

  const sent = await asLaptop("PUT", `${room}/send/m.room.encrypted/again`, ciphertext);
  expect(sent).toMatchObject({ event_id: expect.any(String) });
  // This comes after it, and so tells that it was worked on.
  expect(await they.exec(["cat", file])).toMatchObject({ code: 0, stdout: "once\nmeanwhile\n" });
  // It was read, and refused for what it is.
  expect((await builder.ask("daemon.status", {})).undecryptable).toBe(0);
});

const LINES = 250;
const counted = Array.from({ length: LINES }, (_, n) => `line ${n + 1}\n`).join("");

test(`the outcome of a command waits until all its ${LINES} messages are there, one that was lost included`, async () => {
  const path = "sendToDevice/m.room.encrypted";
  const [go, done] = [join(they.project, "go"), join(they.project, "done")];
  const wait = `n=0; while [ ! -e ${go} ] && [ $n -lt 1200 ]; do n=$((n+1)); sleep 0.1; done`;
  // Each line waits longer than output is collected, so that it is a message of its own.
  const count = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line $i; sleep 0.03; done`;
  const live = they.execLive(["sh", "-c", `${wait}; ${count}; echo done > ${done}`], ["--stdin", "none"]);
  await eventually(async () => (await builder.ask("daemon.status", {})).running_invocations === 1);
  // From here on the laptop hears nothing, and one message on its way to it gets lost for good.
  const deaf = laptopsWay.on((request) => (request.path.includes("/sync") ? { kind: "drop" } : undefined));
  let messages = 0;
  const sent = buildersWay.on((request) => {
    if (!request.path.includes(path)) return undefined;
    return ++messages === 100 ? { kind: "answer", status: 200, body: "{}" } : undefined;
  });
  await writeFile(go, "");
  await eventually(async () => (await linesOf(done)) === 1, "the command has ended");
  deaf();
  expect(await live.ended).toMatchObject({ code: 0, stdout: counted });
  sent();
  expect(messages).toBeGreaterThan(LINES / 2);
});

import { expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests } from "../../../../scripts/homeservers.ts";
import { login } from "../../src/matrix/login.ts";
import { garbage, tooManyRequests } from "../support/fault-proxy.ts";
import { newUser, plainRoom, REQUEST, request, send, siteOn, type TestMachine } from "./helpers.ts";
import { ownSite } from "./own-site.ts";

const { server, site, proxy } = ownSite();

test("a message that must wait for the rate limit waits as long as the server says, and says so", async () => {
  const { laptop, room_id } = await site.twoInARoom();
  const builder = await site.machine({
    url: proxy.url,
    credentials: { ...laptop.credentials, homeserver: proxy.url },
  });
  await builder.session.ready();
  void proxy.next("/send/", tooManyRequests(1_500));
  const before = performance.now();
  const sent = send(builder, request(room_id, { n: 1 }));
  const limited = await eventually(() => {
    const health = builder.session.health();
    return health.state === "rate_limited" && health;
  });
  expect(limited.retry_in_ms).toBeGreaterThan(0);
  expect(limited.retry_in_ms).toBeLessThanOrEqual(1_500);
  expect(await sent).toMatchObject({ ok: true });
  expect(performance.now() - before).toBeGreaterThanOrEqual(1_500);
  expect(proxy.requests.filter(({ path }) => path.includes("/send/"))).toHaveLength(2);
  expect(builder.session.health().state).toBe("healthy");
});

test("a sync that must wait waits as long as the server says", async () => {
  const builder = await site.machine({ url: proxy.url });
  await builder.session.ready();
  const wait = { ...tooManyRequests(0), headers: { "retry-after": "3" } };
  await Promise.all([proxy.next("/sync", wait), builder.restart()]);
  const at = performance.now();
  const syncs = () => proxy.requests.filter(({ path }) => path.includes("/sync")).length;
  const then = syncs();
  await eventually(() => syncs() > then);
  expect(performance.now() - at).toBeGreaterThan(2_900);
  await eventually(() => builder.session.health().state === "healthy");
});

test.each([
  ["HTML", garbage],
  ["half of a JSON text", { kind: "answer", status: 200, body: '{"next_batch":"s1","rooms":{' }],
  ["null", { kind: "answer", status: 200, body: "null" }],
  ["no position", { kind: "answer", status: 200, body: '{"rooms":{}}' }],
  ["an error of the server", { kind: "answer", status: 500, body: '{"errcode":"M_UNKNOWN","error":"oops"}' }],
  ["a closed connection", { kind: "drop" }],
] as const)("a sync answered with %s is told as degraded, and goes on", async (_, fault) => {
  const { laptop, builder, room_id } = await site.twoInARoom({}, { url: proxy.url });
  const stop = proxy.on(({ path }) => (path.includes("/sync") ? fault : undefined));
  await send(laptop, request(room_id, { n: 1 }));
  const degraded = await eventually(() => {
    const health = builder.session.health();
    return health.state === "degraded" && health;
  });
  expect(degraded.detail).not.toBe("");
  expect(builder.session.health().last_sync_ts).not.toBeNull();
  stop();
  await builder.event((one) => one.type === REQUEST);
  await eventually(() => builder.session.health().state === "healthy");
  expect(builder.fatal).toEqual([]);
});

test("a homeserver that is killed and comes again is told as degraded, and nothing is lost", async () => {
  const own = await startHomeserverForTests();
  const there = siteOn(own);
  try {
    const { laptop, builder, room_id } = await there.twoInARoom();
    await own.kill("SIGKILL");
    const sent = send(laptop, request(room_id, { n: 1 }));
    await eventually(() => builder.session.health().state === "degraded");
    await own.restart();
    expect(await sent).toMatchObject({ ok: true });
    await builder.event((one) => one.type === REQUEST);
    await eventually(() => builder.session.health().state === "healthy");
  } finally {
    await there.closeMachines();
    await own.close();
  }
});

/** A rule meets the next /sync; the one that is waiting came before it. */
async function endLongPoll(who: TestMachine): Promise<void> {
  await site.api(who, "PUT", `/user/${who.credentials.user_id}/account_data/test`, { at: Math.random() });
}

test.each([true, false])(
  "a token that the server does not know any more ends the session (soft: %s)",
  async (soft) => {
    const who = await newUser(server);
    const builder = await site.machine({ url: proxy.url, ...who });
    await builder.session.ready();
    const gone = { errcode: "M_UNKNOWN_TOKEN", error: "Unrecognised access token", soft_logout: soft };
    const stop = proxy.on(({ path }) =>
      path.includes("/sync") ? { kind: "answer", status: 401, body: JSON.stringify(gone) } : undefined,
    );
    await endLongPoll(builder);
    await eventually(() => builder.loggedOut.length > 0);
    expect(builder.loggedOut).toEqual([{ soft, detail: gone.error }]);
    expect(builder.session.health()).toMatchObject({ state: "logged_out", detail: gone.error });

    stop();
    const credentials = await login({
      fetch,
      homeserver: server.url,
      method: { kind: "password", ...who },
      ...(soft && { device_id: builder.credentials.device_id }),
      device_name: "again",
    });
    expect(credentials.device_id === builder.credentials.device_id).toBe(soft);
    await builder.restart({ credentials });
    await builder.session.ready();
    expect(builder.session.health().state).toBe("healthy");
  },
);

test.each(["/versions", "/pushrules", "/filter", "/sync", "/keys/", "/send/"])(
  "a session ends at once while the homeserver hangs at %s, and its messages go with the next one",
  async (part) => {
    const { laptop, builder, room_id } = await site.twoInARoom({ encrypted: true }, { url: proxy.url });
    const stop = proxy.on(({ path }) => (path.includes(part) ? { kind: "hang" } : undefined));
    const from = proxy.requests.length;
    await builder.restart();
    builder.session.outbox.enqueue(request(room_id, { n: 1 }));
    await eventually(() => proxy.requests.slice(from).some(({ path }) => path.includes(part)));
    const before = performance.now();
    await builder.stop();
    expect(performance.now() - before).toBeLessThan(5_000);
    stop();
    await builder.restart();
    await laptop.event((one) => one.type === REQUEST);
    expect(laptop.events).toHaveLength(1);
  },
);

test("messages that wait when the token becomes invalid are sent after the next login", async () => {
  const who = await newUser(server);
  const builder = await site.machine({ url: proxy.url, ...who });
  const room_id = await builder.session.createRoom(plainRoom);
  await builder.stop();
  const gone = { errcode: "M_UNKNOWN_TOKEN", error: "Unrecognised access token", soft_logout: true };
  const stop = proxy.on(({ path }) =>
    path.includes("/sync") ? { kind: "answer", status: 401, body: JSON.stringify(gone) } : undefined,
  );
  await builder.restart();
  const sent = send(builder, request(room_id, { n: 1 }));
  await eventually(() => builder.loggedOut.length > 0);
  builder.session.outbox.enqueue(request(room_id, { n: 2 }));
  stop();
  await builder.restart();
  await eventually(() => builder.events.filter((one) => one.type === REQUEST).length === 2);
  expect(builder.events.map((one) => one.content)).toEqual([{ n: 1 }, { n: 2 }]);
  expect(await Promise.race([sent, "no answer"])).toBe("no answer");
});

test("state that can't be written ends the session loudly, and nothing counts as received", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom();
  builder.db.run("ALTER TABLE inbox RENAME TO inbox_away");
  await send(laptop, request(room_id, { n: 1 }));
  await eventually(() => builder.fatal.length > 0);
  expect(builder.session.health().state).toBe("stopped");
  expect(builder.events).toEqual([]);
  builder.db.run("ALTER TABLE inbox_away RENAME TO inbox");
  await builder.restart();
  await builder.event((one) => one.type === REQUEST);
});

test("an invented event of a hostile server does not stop the others", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom({}, { url: proxy.url });
  const nonsense = [
    null,
    5,
    [],
    { type: 7 },
    { type: REQUEST },
    { type: REQUEST, sender: "@x:y", event_id: 3, content: {} },
  ];
  const stop = proxy.on(({ path }) => {
    if (!path.includes("/sync")) return undefined;
    return {
      kind: "rewrite",
      change: (answer) => {
        const body = JSON.parse(answer.body);
        const timeline = body.rooms?.join?.[room_id]?.timeline;
        if (timeline) timeline.events = [...nonsense, ...timeline.events, ...nonsense];
        return { ...answer, body: JSON.stringify(body) };
      },
    };
  });
  await send(laptop, request(room_id, { n: 1 }));
  await builder.event((one) => one.type === REQUEST);
  stop();
  await send(laptop, request(room_id, { n: 2 }));
  await eventually(() => builder.events.filter((one) => one.type === REQUEST).length === 2);
  expect(builder.events.map((one) => one.content)).toEqual([{ n: 1 }, { n: 2 }]);
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { App } from "../src/app.ts";
import { RateLimiter } from "../src/http/limits.ts";
import {
  type Homeserver,
  limitClasses,
  parseRateLimits,
  type RateLimits,
  startHomeserver,
} from "../src/index.ts";
import { allRoutes } from "../src/routes.ts";
import { testServer } from "./support/server.ts";
import { newUser, nobody, type User } from "./support/users.ts";
import { Wire } from "./support/wire.ts";
import { Witness } from "./support/witness.ts";

const witness = new Witness();
let server: Homeserver;
let alice: User;

beforeAll(async () => {
  server = await testServer({ maxUploadBytes: 1_000 });
  alice = await newUser(server, "alice");
});
afterAll(async () => {
  await server.close();
  witness.expectRight(9);
});

describe("rate limits", () => {
  it("answer M_LIMIT_EXCEEDED with the time to wait, and nothing was sent", async () => {
    const strict = await testServer({ rateLimits: { message: { burst: 2, perSecond: 0.001 } } });
    try {
      const user = await newUser(strict, "alice");
      const room = await user.room();
      const send = (n: number) => user.put(`/rooms/${room}/send/m.room.message/${n}`, { body: `${n}` });
      expect([(await send(1)).status, (await send(2)).status]).toEqual([200, 200]);
      const refused = await send(3);
      expect(refused).toMatchObject({ status: 429, body: { errcode: "M_LIMIT_EXCEEDED" } });
      expect(refused.body.retry_after_ms).toBeGreaterThan(0);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      const { body } = await user.get(`/rooms/${room}/messages?dir=b&limit=1`);
      expect(JSON.stringify(body.chunk)).toContain('"body":"2"');
    } finally {
      await strict.close();
    }
  });

  it("waiting as long as they say is enough", () => {
    let now = 0;
    const limits = { burst: 1, perSecond: 2 };
    const all = Object.fromEntries(limitClasses.map((name) => [name, limits])) as RateLimits;
    const limiter = new RateLimiter(all, () => now);
    limiter.take("message", "alice");
    let wait = 0;
    try {
      limiter.take("message", "alice");
    } catch (error) {
      wait = (error as { extra: { retry_after_ms: number } }).extra.retry_after_ms;
    }
    expect(wait).toBe(500);
    limiter.take("message", "bob");
    now += wait;
    limiter.take("message", "alice");
  });

  it("are on everything that changes something, each class by itself", async () => {
    const unlimited = allRoutes({} as App).filter(
      (route) => route.limit === undefined && route.method !== "GET",
    );
    expect(unlimited).toEqual([]);
    const used = new Set(allRoutes({} as App).map((route) => route.limit));
    expect(limitClasses.filter((name) => !used.has(name))).toEqual([]);
    const one = { burst: 1, perSecond: 0.001 };
    const classes = ["to_device", "membership", "profile", "account_data", "receipt", "keys", "write"];
    const strict = await testServer({ rateLimits: Object.fromEntries(classes.map((name) => [name, one])) });
    try {
      const user = await newUser(strict, "alice");
      const room = await user.room();
      const event = await user.say(room, "read me");
      const acts: (() => Promise<{ status: number }>)[] = [
        () => user.put("/sendToDevice/x/1", { messages: {} }),
        () => user.post(`/rooms/${room}/ban`, { user_id: "@x:localhost" }),
        () => user.put(`/profile/${user.id}/displayname`, { displayname: "A" }),
        () => user.put(`/user/${user.id}/account_data/x`, {}),
        () => user.post(`/rooms/${room}/receipt/m.read/${event}`),
        () => user.post("/keys/upload"),
        () => user.put(`/devices/${user.deviceId}`, { display_name: "x" }),
      ];
      for (const act of acts) expect([(await act()).status, (await act()).status]).toEqual([200, 429]);
      expect((await user.post(`/rooms/${room}/leave`)).status).toBe(429);
      expect((await user.put(`/user/${user.id}/rooms/${room}/tags/x`, {})).status).toBe(429);
    } finally {
      await strict.close();
    }
  });

  it("as they are typed", () => {
    expect(parseRateLimits(["message=5/0.5", "room=1/1", "room=2/2"])).toEqual({
      message: { burst: 5, perSecond: 0.5 },
      room: { burst: 2, perSecond: 2 },
    });
    expect(parseRateLimits([])).toEqual({});
    expect(parseRateLimits(["off"])).toBeNull();
    expect(parseRateLimits(["message=5/0.5", "off"])).toBeNull();
    expect(() => parseRateLimits(["off", "nonsense"])).toThrow("--limit nonsense");
    for (const wrong of ["", "message", "message=1", "message=0/1", "message=1/0", "x=1/1", "message=1/x"])
      expect(() => parseRateLimits([wrong]), wrong).toThrow("--limit");
  });

  describe("on guessing passwords", () => {
    const rateLimits = { login: { burst: 3, perSecond: 0.001 } };
    const guesses = async (behindProxy: boolean, ...tries: [account: string, from: string][]) => {
      const strict = await testServer({ rateLimits, behindProxy });
      try {
        const statuses: number[] = [];
        for (const [user, from] of tries) {
          const login = { type: "m.login.password", identifier: { type: "m.id.user", user }, password: "y" };
          const answer = await nobody(strict).call("POST", "/login", login, { "x-forwarded-for": from });
          statuses.push(answer.status);
        }
        return statuses;
      } finally {
        await strict.close();
      }
    };
    const three = (from: string): [string, string][] => [
      ["a", from],
      ["b", from],
      ["c", from],
    ];

    it("are by the address that the proxy in front saw, whatever the client says besides", async () => {
      const other: [string, string] = ["d", "203.0.113.2"];
      const forged: [string, string] = ["d", "203.0.113.2, 203.0.113.1"];
      expect(await guesses(true, ...three("203.0.113.1"), forged, other)).toEqual([403, 403, 403, 429, 403]);
      expect(await guesses(true, ...three("not an address"), ["d", ""])).toEqual([403, 403, 403, 429]);
    });

    it("are by the connection's own where there is no proxy", async () => {
      expect(await guesses(false, ...three("203.0.113.1"), ["d", "203.0.113.2"])).toEqual([
        403, 403, 403, 429,
      ]);
    });

    it("are by the account too, from wherever it is tried", async () => {
      const tries = [1, 2, 3, 4].map((n): [string, string] => ["a", `203.0.113.${n}`]);
      expect(await guesses(true, ...tries)).toEqual([403, 403, 403, 429]);
    });
  });

  it("count wrong passwords", async () => {
    const strict = await testServer({ rateLimits: { login: { burst: 3, perSecond: 0.001 } } });
    try {
      const wrong = { type: "m.login.password", identifier: { type: "m.id.user", user: "x" }, password: "y" };
      const statuses: number[] = [];
      for (let i = 0; i < 4; i++) statuses.push((await nobody(strict).post("/login", wrong)).status);
      expect(statuses).toEqual([403, 403, 403, 429]);
    } finally {
      await strict.close();
    }
  });
});

describe("sizes", () => {
  it("strangers may send 64 KiB, users a megabyte", async () => {
    expect((await nobody(server).post("/login", { x: "x".repeat(70_000) })).status).toBe(413);
    const data = { x: "x".repeat(900_000) };
    expect((await alice.put(`/user/${alice.id}/account_data/big`, data)).status).toBe(200);
    expect((await alice.put(`/user/${alice.id}/account_data/big`, { x: "x".repeat(1_100_000) })).status).toBe(
      413,
    );
  });

  it("a body that grows past its limit is cut off without being kept", async () => {
    const wire = new Wire(server.port);
    wire.write("POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    const chunk = `8000\r\n${"x".repeat(0x8000)}\r\n`;
    for (let i = 0; i < 10 && !wire.closed; i++) wire.write(chunk);
    await wire.ended();
    expect(wire.statuses[0]).toBe("413");
    wire.show(witness);
  });

  it("a to-device message may have 64 KiB", async () => {
    const send = (size: number) =>
      alice.put(`/sendToDevice/x/${size}`, { messages: { [alice.id]: { "*": { x: "x".repeat(size) } } } });
    expect((await send(65_000)).status).toBe(200);
    expect((await send(66_000)).status).toBe(413);
  });

  it("an upload may be as large as the configuration says", async () => {
    const upload = (size: number) => alice.call("POST", "/_matrix/media/v3/upload", Buffer.alloc(size, 1));
    expect((await upload(1_000)).status).toBe(200);
    expect(await upload(1_001)).toMatchObject({ status: 413, body: { errcode: "M_TOO_LARGE" } });
    expect((await alice.get("/_matrix/client/v1/media/config")).body).toEqual({ "m.upload.size": 1_000 });
  });
});

describe("what is not there", () => {
  it.each([
    ["GET", "/_matrix/client/v3/nothing"],
    ["GET", "/"],
    ["POST", "/_matrix/client/v3/search"],
    ["GET", "/_matrix/federation/v1/version"],
    ["GET", "/_matrix/client/v1/rooms/!x:localhost/threads"],
    ["GET", "/_matrix/client/v1/rooms/!x:localhost/hierarchy"],
  ])("%s %s is M_UNRECOGNIZED with 404", async (method, path) => {
    const response = await witness.fetch(server.url + path, { method });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ errcode: "M_UNRECOGNIZED" });
  });

  it.each([
    ["POST", "/rooms/!x:localhost/upgrade", "room upgrades"],
    ["GET", "/_matrix/client/v1/rooms/!x:localhost/threads", "threads"],
    ["PUT", "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device", "dehydrated devices"],
    ["GET", "/_matrix/federation/v1/version", "federate"],
    ["POST", "/search", "searching"],
    ["GET", "/_matrix/client/v1/rooms/!x:localhost/hierarchy", "space"],
    ["GET", "/_matrix/client/v1/media/preview_url", "previews of URLs"],
    ["GET", "/_matrix/media/v3/preview_url", "previews of URLs"],
  ])("%s %s is refused by its name", async (method, path, name) => {
    const { status, body } = await alice.call(method, path);
    expect(status).toBe(404);
    expect(body).toMatchObject({ errcode: "M_UNRECOGNIZED", error: expect.stringContaining(name) });
  });

  it("a restricted join is refused by its name", async () => {
    const room = await alice.room({
      initial_state: [{ type: "m.room.join_rules", content: { join_rule: "restricted", allow: [] } }],
    });
    const bob = await newUser(server, "restricted-bob");
    const { status, body } = await bob.post(`/join/${room}`);
    expect(status).toBe(403);
    expect(body).toMatchObject({
      errcode: "M_FORBIDDEN",
      error: expect.stringContaining("restricted joins are not supported"),
    });
  });

  it("a room is made with no more state and invitations than the server makes in an instant", async () => {
    const state = (count: number) => ({
      initial_state: Array.from({ length: count }, (_, i) => ({ type: "x", state_key: `${i}`, content: {} })),
    });
    const invite = Array.from({ length: 201 }, (_, i) => `@user${i}:localhost`);
    expect((await alice.post("/createRoom", state(500))).status).toBe(200);
    expect((await alice.post("/createRoom", state(14_000))).body.error).toContain("500 events");
    expect((await alice.post("/createRoom", { invite })).body.error).toContain("200 users");
  });

  it("push rules are no longer than every message can be compared with", async () => {
    const rule = (id: string, pattern: string) =>
      alice.put(`/pushrules/global/content/${id}`, { pattern, actions: ["notify"] });
    expect((await rule("long", "*?".repeat(128))).status).toBe(400);
    const conditions = [{ kind: "event_match", key: "content.body", pattern: "*?".repeat(128) }];
    const override = { conditions, actions: ["notify"] };
    expect((await alice.put("/pushrules/global/override/long", override)).status).toBe(400);
    const statuses: number[] = [];
    for (let i = 0; i < 260 && statuses.at(-1) !== 413; i++)
      statuses.push((await rule(`r${i}`, "x".repeat(255))).status);
    expect(statuses.at(-1)).toBe(413);
    expect(statuses.length).toBeGreaterThan(100);
    expect((await alice.delete("/pushrules/global/content/r0")).status).toBe(200);
  });

  it("nobody is found by a name that nobody can have", async () => {
    const search_term = "x".repeat(60_000);
    expect((await alice.post("/user_directory/search", { search_term })).body).toEqual({
      limited: false,
      results: [],
    });
  });

  it("a known path with another method is M_UNRECOGNIZED with 405", async () => {
    expect(await alice.call("DELETE", "/sync")).toMatchObject({
      status: 405,
      body: { errcode: "M_UNRECOGNIZED" },
    });
  });

  it("a browser may ask from anywhere", async () => {
    const response = await witness.fetch(`${server.url}/_matrix/client/v3/sync`, { method: "OPTIONS" });
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-headers")).toContain("Authorization");
  });

  it("health is answered without a token", async () => {
    expect((await witness.fetch(`${server.url}/health`)).status).toBe(200);
  });
});

describe("starting", () => {
  it("refuses anything but loopback, and says what that would mean", async () => {
    await expect(testServer({ bind: { host: "0.0.0.0", port: 0 } })).rejects.toThrow("plain HTTP");
    await expect(testServer({ bind: { host: "::", port: 0 } })).rejects.toThrow("--allow-remote");
    await (await testServer({ bind: { host: "0.0.0.0", port: 0 }, allowRemote: true })).close();
  });

  it("refuses a name that is none, and a port that is taken", async () => {
    await expect(testServer({ name: "a b" })).rejects.toThrow("is not a server name");
    await expect(testServer({ bind: { host: "127.0.0.1", port: server.port } })).rejects.toThrow(
      "cannot listen",
    );
  });

  it("stops while long polls wait", async () => {
    const stopping = await startHomeserver({
      bind: { host: "127.0.0.1", port: 0 },
      dataDir: null,
      name: "localhost",
      registration: "open",
    });
    const user = await newUser(stopping, "alice");
    const { next_batch: since } = await user.sync();
    const poll = user.get(`/sync?since=${since}&timeout=60000`).catch(() => undefined);
    await user.get("/account/whoami");
    const started = performance.now();
    await stopping.close();
    expect(performance.now() - started).toBeLessThan(5_000);
    await poll;
  });
});

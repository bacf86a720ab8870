import { afterAll, afterEach, describe, expect, it } from "vitest";
import { type Homeserver, type HomeserverOptions, startHomeserver } from "../src/index.ts";
import { newUser, type User } from "./support/users.ts";
import { Wire } from "./support/wire.ts";
import { Witness } from "./support/witness.ts";

const witness = new Witness();
const wires: Wire[] = [];
let server: Homeserver | undefined;

afterEach(async () => {
  for (const wire of wires.splice(0)) {
    wire.socket.destroy();
    wire.show(witness);
  }
  await server?.close();
});
afterAll(() => witness.expectRight(20));

async function started(connections: HomeserverOptions["connections"]): Promise<Homeserver> {
  server = await startHomeserver({
    bind: { host: "127.0.0.1", port: 0 },
    dataDir: null,
    name: "localhost",
    registration: "open",
    rateLimits: null,
    connections: connections ?? {},
  });
  return server;
}

function wireTo(port: number, reads = true): Wire {
  const wire = new Wire(port, reads);
  wires.push(wire);
  return wire;
}

const head = (path: string, user?: User) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\n${user === undefined ? "" : `Authorization: Bearer ${user.token}\r\n`}\r\n`;

/** Somebody whose first sync is many megabytes long. */
async function hoarder(of: Homeserver, name = "hoarder"): Promise<User> {
  const user = await newUser(of, name);
  for (let i = 0; i < 16; i++)
    await user.put(`/user/${user.id}/account_data/com.example.${i}`, { hoard: "x".repeat(900_000) });
  return user;
}

describe("whoever is slow is not waited for without end", () => {
  it("not with a request's head, nor with nothing at all", async () => {
    const { port } = await started({ headersMs: 200 });
    const [silent, slow] = [wireTo(port), wireTo(port).write("GET /health HTTP/1.1\r\nHost: x\r\nX-Sl")];
    await slow.ended();
    expect(slow.statuses).toEqual(["408"]);
    await silent.ended();
  });

  it("not with a body", async () => {
    const { port } = await started({ headersMs: 200, requestMs: 200 });
    const login = "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    const slow = wireTo(port).write(login);
    await slow.ended();
    expect(slow.statuses).toEqual(["408"]);
  });

  it("not with reading", async () => {
    const homeserver = await started({ readMs: 200, readRate: 100_000_000 });
    const user = await hoarder(homeserver);
    const stalled = wireTo(homeserver.port, false).write(head("/_matrix/client/v3/sync", user));
    await stalled.ended();
    expect((await user.get("/account/whoami")).status).toBe(200);
  });
});

describe("memory is bounded", () => {
  it("by cutting off the slowest readers: the server keeps no more than it may of what nobody reads", async () => {
    const homeserver = await started({ readMs: 600_000, unreadBytes: 50_000_000 });
    const user = await hoarder(homeserver);
    const before = process.memoryUsage().rss;
    const readers: Wire[] = [];
    for (let i = 0; i < 20; i++) {
      const reader = wireTo(homeserver.port, false).write(head("/_matrix/client/v3/sync", user));
      readers.push(reader);
    }
    // Each answer has 14 MB; three of them fit.
    await expect.poll(() => readers.filter((reader) => reader.closed).length, { timeout: 30_000 }).toBe(17);
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1024 * 1024);
    expect((await user.get("/account/whoami")).status).toBe(200);
  });

  it("by taking no more of bodies than fits; the others come again", async () => {
    const homeserver = await started({ strangersBytes: 100_000 });
    const user = await newUser(homeserver, "alice");
    const begun = (bytes: number) =>
      wireTo(homeserver.port).write(
        `POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n${"x".repeat(bytes)}`,
      );
    const [one, two] = [begun(50_000), begun(55_000)];
    await expect.poll(() => [...one.statuses, ...two.statuses], { timeout: 10_000 }).toEqual(["429"]);
    // Users do not suffer from strangers, and what was given up is free again.
    expect((await user.put(`/user/${user.id}/account_data/a`, { x: "x".repeat(90_000) })).status).toBe(200);
    one.socket.destroy();
    two.socket.destroy();
    const login = { type: "m.login.password", identifier: { type: "m.id.user", user: "x" }, password: "y" };
    const again = () =>
      witness.fetch(`${homeserver.url}/_matrix/client/v3/login`, {
        method: "POST",
        body: JSON.stringify({ ...login, padding: "x".repeat(60_000) }),
      });
    await expect.poll(async () => (await again()).status, { timeout: 10_000 }).toBe(403);
  });

  it("by the number of connections", async () => {
    const { port } = await started({ connections: 5 });
    const all = Array.from({ length: 20 }, () => wireTo(port));
    await expect.poll(() => all.filter((wire) => wire.closed).length, { timeout: 10_000 }).toBe(15);
    for (const wire of all) wire.write(head("/health"));
    await expect.poll(() => all.flatMap((wire) => wire.statuses)).toEqual(Array(5).fill("200"));
  });
});

describe("requests sent without waiting for answers", () => {
  it("are answered in their order, one after another", async () => {
    const homeserver = await started({});
    const user = await newUser(homeserver, "alice");
    const paths = ["/_matrix/client/versions", "/nowhere", "/_matrix/client/v3/account/whoami", "/health"];
    const wire = wireTo(homeserver.port).write(paths.map((path) => head(path, user)).join(""));
    await expect.poll(() => wire.statuses).toEqual(["200", "404", "200", "200"]);
    expect(wire.text.indexOf("versions")).toBeLessThan(wire.text.indexOf(user.id));
  });

  it("are cut off when there are hundreds, and nobody else notices", async () => {
    const homeserver = await started({ readMs: 600_000 });
    const user = await hoarder(homeserver);
    const before = process.memoryUsage().rss;
    const greedy = Array.from({ length: 5 }, () =>
      wireTo(homeserver.port, false).write(head("/_matrix/client/v3/sync", user).repeat(200)),
    );
    for (const wire of greedy) await wire.ended();
    expect((await user.get("/account/whoami")).status).toBe(200);
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1024 * 1024);
  });

  it("cost no more than one answer each while nobody reads them", async () => {
    const homeserver = await started({ readMs: 600_000, unreadBytes: 1_000_000_000 });
    const user = await hoarder(homeserver);
    const before = process.memoryUsage().rss;
    wireTo(homeserver.port, false).write(head("/_matrix/client/v3/sync", user).repeat(30));
    for (let i = 0; i < 20; i++) await user.get("/account/whoami");
    // Thirty answers would be 420 MB.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
  });
});

describe("what is no HTTP, or hardly", () => {
  it.each([
    ["no words of HTTP", "\u0000\u0001\u0002\r\n\r\n", "400"],
    ["another protocol's version", "GET / HTTP/9.9\r\n\r\n", "400"],
    ["a header with a null", "GET /health HTTP/1.1\r\nHost: x\r\nX: \u0000\r\n\r\n", "400"],
    ["a path of 100 kB", `GET /${"x".repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, "431"],
    ["40 kB of headers", `GET / HTTP/1.1\r\nHost: x\r\n${"X-A: b\r\n".repeat(5_000)}\r\n`, "431"],
    [
      "two lengths",
      "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "400",
    ],
    [
      "a length below 0",
      "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
      "400",
    ],
    ["no host", "GET /_matrix/client/versions HTTP/1.1\r\n\r\n", "400"],
    ["a whole URL", "GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n", "404"],
    [
      "an expectation",
      "GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nExpect: the-unexpected\r\n\r\n",
      "401",
    ],
    [
      "an upgrade",
      "GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
      "401",
    ],
  ])("is refused as every error is: %s", async (_, bytes, status) => {
    const { port } = await started({});
    const wire = wireTo(port).write(bytes);
    await expect.poll(() => wire.statuses).toEqual([status]);
    expect(wire.text).toContain('"errcode":"M_');
  });

  it("does not take away the answers to what came before it, not even to a long poll", async () => {
    const homeserver = await started({});
    const user = await newUser(homeserver, "alice");
    const room = await user.room();
    const { next_batch: since } = await user.sync();
    const poll = head(`/_matrix/client/v3/sync?since=${since}&timeout=600000`, user);
    const wire = wireTo(homeserver.port).write(`${head("/health")}${poll}${head("/health")}no HTTP\r\n\r\n`);
    await expect.poll(() => wire.statuses).toEqual(["200"]);
    await wire.write("and more of it\r\n\r\n");
    const event = await user.say(room, "wake up");
    await wire.ended();
    expect(wire.statuses).toEqual(["200", "200", "200", "400"]);
    expect(wire.text).toContain(event);
  });

  it("is no other protocol either: who asks for one is answered in HTTP, and told to come again for more", async () => {
    const homeserver = await started({});
    const ask = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (const more of [head("/_matrix/client/versions"), "\x81\x05hello", ""]) {
      const wire = wireTo(homeserver.port).write(ask + more);
      await wire.ended();
      expect(wire.statuses).toEqual(["200"]);
      expect(wire.text).toMatch(/^connection: close\r$/im);
    }
  });

  it("is hung up on where it wants a tunnel, and the server goes on", async () => {
    const homeserver = await started({});
    const wire = wireTo(homeserver.port).write("CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n");
    await wire.ended();
    expect(wire.text).toBe("");
    expect((await witness.fetch(`${homeserver.url}/_matrix/client/versions`)).status).toBe(200);
  });

  it("does not come in between a long answer that is on its way", async () => {
    const homeserver = await started({});
    const user = await hoarder(homeserver);
    const wire = wireTo(homeserver.port).write(head("/_matrix/client/v3/sync", user));
    await expect.poll(() => wire.text.length, { timeout: 10_000 }).toBeGreaterThan(0);
    await wire.write("nonsense\r\n\r\n").ended();
    expect(wire.statuses[0]).toBe("200");
    expect(wire.text).not.toMatch(/x"HTTP|xHTTP/);
  });
});

it.each([
  "/../../../../etc/passwd",
  "/_matrix/../../etc/passwd",
  "/_matrix/client/v3/../../../homeserver.db",
  "/_matrix/client/v1/media/download/localhost/../../../../homeserver.db",
  "/_matrix/client/v1/media/download/localhost/..%2f..%2fhomeserver.db",
  "/_matrix/client/v1/media/download/localhost/%2e%2e/%2e%2e/homeserver.db",
  "/_matrix/client/v1/media/download/../localhost/x",
  "/_matrix/client/v1/media/download/localhost/..\\..\\homeserver.db",
  "/_matrix/client/v1/media/thumbnail/localhost/..?width=1&height=1",
  "//_matrix/client/versions/..",
  "/_matrix/client/v3/rooms/../joined_rooms",
  "file:///etc/passwd",
])("a path by hand leads nowhere: %s", async (path) => {
  const homeserver = await started({});
  const user = await newUser(homeserver, "alice");
  const wire = wireTo(homeserver.port).write(head(path, user));
  await expect.poll(() => wire.statuses).toHaveLength(1);
  expect(wire.statuses[0]).toMatch(/^4\d\d$/);
  expect(wire.text).toMatch(/"errcode":"M_(UNRECOGNIZED|NOT_FOUND|INVALID_PARAM)"/);
  expect(wire.text).not.toContain("SQLite format");
  expect(wire.text).not.toContain("root:");
});

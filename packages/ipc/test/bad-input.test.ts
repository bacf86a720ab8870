import { encodeFrame } from "@mx-agent/base";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { type RawClient, type TestServer, testServer } from "./support/lapitest.ts";

let running: TestServer | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

async function greeted(): Promise<RawClient> {
  running = await testServer({
    "trust.list": { parse: () => ({ room: null }), handle: async () => [] },
  });
  const client = await running.raw();
  await client.greet();
  return client;
}

const works = async (client: RawClient) =>
  expect(await client.ask("trust.list", {}, "after")).toEqual({ jsonrpc: "2.0", id: "after", result: [] });

describe("the connection is kept after", () => {
  test("a frame that holds no JSON", async () => {
    const client = await greeted();
    client.write(encodeFrame("{this is not JSON"));
    expect(await client.next()).toMatchObject({ id: null, error: { code: -32700 } });
    await works(client);
  });

  test("a frame of bytes that are no text", async () => {
    const client = await greeted();
    client.write(encodeFrame(Buffer.from([0xff, 0xfe, 0x00, 0x80])));
    expect(await client.next()).toMatchObject({ id: null, error: { code: -32700 } });
    await works(client);
  });

  test("JSON with bytes in it that are no text", async () => {
    const client = await greeted();
    const [head, tail] = ['{"jsonrpc":"2.0","id":1,"method":"trust.list","params":{"room":"', '"}}'];
    client.write(
      encodeFrame(Buffer.concat([Buffer.from(head ?? ""), Buffer.from([0xff]), Buffer.from(tail ?? "")])),
    );
    expect(await client.next()).toMatchObject({ id: null, error: { code: -32700 } });
    await works(client);
  });

  test("a batch: each request in it is answered, each that is none is refused, each note is not answered", async () => {
    const client = await greeted();
    const list = { jsonrpc: "2.0", method: "trust.list" };
    client.send([{ ...list, id: 1 }, 7, { ...list, id: null }, list, { ...list, id: "b", method: "none" }]);
    const answers = (await client.next()) as { id: unknown; error?: { code: number } }[];
    expect(answers.map(({ id, error }) => [id, error?.code])).toEqual([
      [1, undefined],
      [null, -32600],
      [null, -32600],
      ["b", -32601],
    ]);
    client.send([list, { jsonrpc: "2.0", method: "nobody.knows" }]);
    await works(client);
  });

  test("an empty frame", async () => {
    const client = await greeted();
    client.write(encodeFrame(""));
    expect(await client.next()).toMatchObject({ error: { code: -32700 } });
    await works(client);
  });

  test.each([
    ["null", null],
    ["a number", 7],
    ["an object that is no request", { hello: "there" }],
    ["an empty batch", []],
    ["another version of JSON-RPC", { jsonrpc: "1.0", id: 1, method: "trust.list" }],
    ["a method that is no string", { jsonrpc: "2.0", id: 1, method: 5 }],
    ["an id that is an object", { jsonrpc: "2.0", id: {}, method: "trust.list" }],
    ["an id that is null", { jsonrpc: "2.0", id: null, method: "trust.list" }],
    ["an id that is null for a method that nobody knows", { jsonrpc: "2.0", id: null, method: "x" }],
    ["an id that is true", { jsonrpc: "2.0", id: true, method: "trust.list" }],
    ["no version of JSON-RPC", { id: 1, method: "trust.list" }],
    ["a version that is a number", { jsonrpc: 2, id: 1, method: "trust.list" }],
    ["no method", { jsonrpc: "2.0", id: 1 }],
    ["parameters that are text", { jsonrpc: "2.0", id: 1, method: "trust.list", params: "x" }],
    ["parameters that are null", { jsonrpc: "2.0", id: 1, method: "trust.list", params: null }],
    ["an answer to nothing", { jsonrpc: "2.0", id: 1, result: [] }],
    ["an item that wants an answer", { jsonrpc: "2.0", id: 1, method: "stream.item", params: { id: 1 } }],
    ["an acknowledgement that wants one", { jsonrpc: "2.0", id: 1, method: "stream.ack", params: {} }],
    ["an end that wants one", { jsonrpc: "2.0", id: 1, method: "stream.end", params: { id: 1 } }],
    ["a cancel that wants one", { jsonrpc: "2.0", id: 1, method: "cancel", params: { id: 1 } }],
  ])("%s", async (_, message) => {
    const client = await greeted();
    client.send(message);
    expect(await client.next()).toMatchObject({ error: { code: -32600 } });
    await works(client);
  });

  test("an unknown method", async () => {
    const client = await greeted();
    expect(await client.ask("trust.everything")).toMatchObject({ id: 1, error: { code: -32601 } });
    expect(await client.ask("__proto__")).toMatchObject({ id: 1, error: { code: -32601 } });
    expect(await client.ask("constructor")).toMatchObject({ id: 1, error: { code: -32601 } });
    await works(client);
  });

  test("an id that is in use", async () => {
    const entered = Promise.withResolvers<void>();
    running = await testServer({
      "trust.list": { parse: () => ({ room: null }), handle: async () => [] },
      "daemon.status": {
        parse: () => ({}),
        handle: (_, { signal }) => {
          entered.resolve();
          return new Promise((_resolve, reject) =>
            signal.addEventListener("abort", () => reject(signal.reason)),
          );
        },
      },
    });
    const client = await running.raw();
    await client.greet();
    client.send({ jsonrpc: "2.0", id: 1, method: "daemon.status" });
    await entered.promise;
    expect(await client.ask("trust.list", {}, 1)).toMatchObject({ id: 1, error: { code: -32600 } });
    await works(client);
  });

  test("notes about calls that do not exist", async () => {
    const client = await greeted();
    for (const method of ["stream.item", "stream.ack", "stream.end", "cancel"]) {
      client.send({ jsonrpc: "2.0", method, params: { id: 99, bytes: -1, item: null } });
      client.send({ jsonrpc: "2.0", method, params: [1, 2] });
      client.send({ jsonrpc: "2.0", method });
    }
    await works(client);
  });

  test("a method that is called without an id, which runs nothing", async () => {
    let calls = 0;
    running = await testServer({
      "trust.list": {
        parse: () => ({ room: null }),
        handle: async () => {
          calls++;
          return [];
        },
      },
    });
    const client = await running.raw();
    await client.greet();
    client.send({ jsonrpc: "2.0", method: "trust.list" });
    await works(client);
    expect(calls).toBe(1);
  });

  test("more calls at once than a connection may have", async () => {
    running = await testServer({
      "daemon.status": {
        parse: () => ({}),
        handle: (_, { signal }) =>
          new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      },
    });
    const client = await running.raw();
    await client.greet();
    for (let id = 0; id < 256; id++) client.send({ jsonrpc: "2.0", id, method: "daemon.status" });
    expect(await client.ask("daemon.status", {}, 256)).toMatchObject({
      id: 256,
      error: { data: { code: "MX_PROTOCOL" } },
    });
  });
});

test("a frame in single bytes is a frame", async () => {
  const client = await greeted();
  const frame = encodeFrame(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "trust.list" }));
  for (const byte of frame) client.write(Buffer.from([byte]));
  expect(await client.next()).toEqual({ jsonrpc: "2.0", id: 1, result: [] });
});

test("half a frame is waited for, and forgotten with its connection", async () => {
  const client = await greeted();
  client.write(Buffer.from([0, 0, 1, 0, 0x7b]));
  client.close();
  await works(
    await (async () => {
      const other = await (running as TestServer).raw();
      await other.greet();
      return other;
    })(),
  );
});

test("a length of 4 GiB is answered with MX_FRAME_TOO_LARGE, and then the connection is closed", async () => {
  const client = await greeted();
  client.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
  expect(await client.next()).toMatchObject({ id: null, error: { data: { code: "MX_FRAME_TOO_LARGE" } } });
  expect(await client.next()).toBeUndefined();
});

describe("the greeting", () => {
  test("comes first: nothing is served before", async () => {
    running = await testServer({
      "trust.list": { parse: () => ({ room: null }), handle: async () => [] },
    });
    const client = await running.raw();
    expect(await client.ask("trust.list")).toMatchObject({ error: { data: { code: "MX_PROTOCOL" } } });
    await client.greet();
    await works(client);
  });

  test.each([
    ["an older client is told to be restarted", { major: 0, minor: 9 }, /the program that called/],
    ["a newer client is told to restart the daemon", { major: 2, minor: 0 }, /mx-agent daemon restart/],
    ["two minor versions are too far apart", { major: 1, minor: 2 }, /mx-agent daemon restart/],
  ])("%s", async (_, version, restart) => {
    running = await testServer();
    const client = await running.raw();
    const answer = await client.ask("hello", { version, mx_agent: "9.9.9" });
    expect(answer).toMatchObject({ error: { data: { code: "MX_VERSION_SKEW" } } });
    expect(JSON.stringify(answer)).toMatch(restart);
  });

  test("takes a client one minor version away", async () => {
    running = await testServer();
    const client = await running.raw();
    expect(await client.ask("hello", { version: { major: 1, minor: 1 }, mx_agent: "x" })).toMatchObject({
      result: { version: { major: 1 }, pid: process.pid, role: "operator" },
    });
  });
});

test("whatever a stranger sends, the next client is served and nothing is reported as a bug", async () => {
  running = await testServer({
    "trust.list": { parse: () => ({ room: null }), handle: async () => [] },
  });
  const server = running;
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json({ maxDepth: 5 }).map((json) => encodeFrame(json)),
    fc
      .record(
        {
          jsonrpc: fc.constantFrom("2.0", "1.0", 2),
          id: fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.jsonValue()),
          method: fc.oneof(
            fc.constantFrom("hello", "trust.list", "exec.run", "stream.item", "stream.ack", "cancel"),
            fc.string(),
          ),
          params: fc.jsonValue(),
        },
        { requiredKeys: [] },
      )
      .map((value) => encodeFrame(JSON.stringify(value))),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 12 }), fc.boolean(), async (messages, greet) => {
      const stranger = await server.raw();
      if (greet) await stranger.greet();
      for (const bytes of messages) stranger.write(bytes);
      stranger.socket.end();
      while ((await stranger.next()) !== undefined);
      const next = await server.client("agent");
      expect(await next.call("trust.list", { room: null }).result).toEqual([]);
      next.close();
    }),
    { numRuns: 150 },
  );
  expect(server.errors).toEqual([]);
  await expect.poll(() => server.server.connections()).toEqual([]);
});

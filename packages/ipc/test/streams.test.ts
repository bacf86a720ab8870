import type { ExecInput, ExecOutput, ExecParams, ExecResult } from "@mx-agent/ipc";
import { afterEach, describe, expect, test } from "vitest";
import { fieldsOf } from "../src/wire.ts";
import { type RawClient, type TestServer, testServer } from "./support/lapitest.ts";

let running: TestServer | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});
async function start(...args: Parameters<typeof testServer>): Promise<TestServer> {
  running = await testServer(...args);
  return running;
}

const params: ExecParams = {
  room: "!r",
  agent: "a",
  command: ["x"],
  cwd: null,
  env: {},
  timeout_ms: null,
  stdin: true,
  detach: false,
};
const done: ExecResult = { type: "detached", invocation_id: "inv_1" };
const chunk = (data: string): ExecOutput => ({ type: "chunk", stream: "stdout", data });
const parsers = {
  parse: (value: unknown) => value as ExecParams,
  parseInput: (value: unknown) => {
    const type = fieldsOf(value).type;
    if (type !== "stdin" && type !== "eof" && type !== "signal") throw new Error("no such item");
    return value as ExecInput;
  },
};
const block = "x".repeat(16 * 1024);

describe("output", () => {
  test("arrives in order, all of it, before the result", async () => {
    const { client } = await start({
      "exec.run": {
        ...parsers,
        handle: async (_, { send }) => {
          for (let n = 0; n < 5000; n++) await send(chunk(String(n)));
          return done;
        },
      },
    });
    const call = (await client("agent")).call("exec.run", params);
    let settled = false;
    void call.result.then(() => {
      settled = true;
    });
    const seen: ExecOutput[] = [];
    for await (const item of call.output) {
      expect(settled && seen.length < 4999).toBe(false);
      seen.push(item);
    }
    expect(seen).toEqual(Array.from({ length: 5000 }, (_, n) => chunk(String(n))));
    expect(await call.result).toEqual(done);
  });

  test("that the handler did not wait for is still there before its result", async () => {
    const { client } = await start({
      "exec.run": {
        ...parsers,
        handle: async (_, { send }) => {
          for (let n = 0; n < 100; n++) void send(chunk(block));
          return done;
        },
      },
    });
    const call = (await client()).call("exec.run", params);
    let items = 0;
    for await (const _ of call.output) items++;
    expect(items).toBe(100);
  });

  test("for a reader that does not read stops at the window, on both sides", async () => {
    let sent = 0;
    const { client } = await start({
      "exec.run": {
        ...parsers,
        handle: async (_, { send, signal }) => {
          while (!signal.aborted) {
            await send(chunk(block));
            sent++;
          }
          return done;
        },
      },
    });
    const connection = await client();
    const call = connection.call("exec.run", params);
    const reader = call.output[Symbol.asyncIterator]();
    await reader.next();
    await settled(() => sent);
    // 256 KiB of window, and not the megabytes that a loop makes while nobody reads.
    expect(sent).toBeLessThan(20);
    const before = sent;
    for (let n = 0; n < 30; n++) await reader.next();
    await expect.poll(() => sent).toBeGreaterThan(before);
    connection.close();
  });

  test("for a client that does not even read its socket is bounded too", async () => {
    let sent = 0;
    const { raw } = await start({
      "exec.run": {
        ...parsers,
        handle: async (_, { send, signal }) => {
          while (!signal.aborted) {
            await send(chunk(block));
            sent++;
          }
          return done;
        },
      },
    });
    const client = await raw();
    await client.greet();
    client.socket.pause();
    for (let id = 0; id < 10; id++) client.send({ jsonrpc: "2.0", id, method: "exec.run", params });
    await settled(() => sent);
    expect(sent).toBeLessThan(10 * 20);
    client.close();
  });

  test("of one call does not wait for the reader of another", async () => {
    const { client } = await start({
      "exec.run": {
        ...parsers,
        handle: async ({ agent }, { send, signal }) => {
          if (agent === "quick") return done;
          while (!signal.aborted) await send(chunk(block));
          return done;
        },
      },
    });
    const connection = await client();
    const slow = connection.call("exec.run", params);
    await slow.output[Symbol.asyncIterator]().next();
    expect(await connection.call("exec.run", { ...params, agent: "quick" }).result).toEqual(done);
    connection.close();
  });

  test("is let through unread when the reader leaves, and the call ends", async () => {
    const { client } = await start({
      "exec.run": {
        ...parsers,
        handle: async (_, { send }) => {
          for (let n = 0; n < 200; n++) await send(chunk(block));
          return done;
        },
      },
    });
    const call = (await client()).call("exec.run", params);
    for await (const _ of call.output) break;
    expect(await call.result).toEqual(done);
  });

  test("wakes a handler that waits for room when the client vanishes", async () => {
    const ended = Promise.withResolvers<unknown>();
    const { raw } = await start({
      "exec.run": {
        ...parsers,
        handle: async (_, { send }) => {
          try {
            for (;;) await send(chunk(block));
          } catch (error) {
            ended.resolve(error);
            throw error;
          }
        },
      },
    });
    const client = await raw();
    await client.greet();
    client.send({ jsonrpc: "2.0", id: 1, method: "exec.run", params });
    await client.next();
    client.close();
    expect(await ended.promise).toMatchObject({ code: "MX_CANCELLED" });
  });
});

describe("input", () => {
  test("arrives in order and ends where the client ends it", async () => {
    const { client } = await start({
      "exec.run": {
        ...parsers,
        handle: async (_, { input, send }) => {
          for await (const item of input) if (item.type === "stdin") await send(chunk(item.data));
          return done;
        },
      },
    });
    const call = (await client("agent")).call("exec.run", params);
    const writing = (async () => {
      for (let n = 0; n < 300; n++) await call.send({ type: "stdin", data: `${n}:${block}` });
      call.end();
    })();
    let n = 0;
    for await (const item of call.output) expect(item).toEqual(chunk(`${n++}:${block}`));
    expect(n).toBe(300);
    await writing;
    expect(await call.result).toEqual(done);
  });

  test("that the handler does not read is held back at the client", async () => {
    const { client } = await start({
      "exec.run": {
        ...parsers,
        handle: (_, { signal }) =>
          new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      },
    });
    const call = (await client()).call("exec.run", params);
    let sent = 0;
    const writing = (async () => {
      while (sent < 1000) {
        await call.send({ type: "stdin", data: block });
        sent++;
      }
    })();
    await settled(() => sent);
    expect(sent).toBeLessThan(20);
    call.cancel();
    await expect(call.result).rejects.toMatchObject({ code: "MX_CANCELLED" });
    // What is written after the end goes nowhere and disturbs nobody.
    await writing;
  });

  test("arrives also in one batch with its call", async () => {
    const { raw } = await start({
      "exec.run": {
        ...parsers,
        handle: async (_, { input, send }) => {
          for await (const item of input) if (item.type === "stdin") await send(chunk(item.data));
          return done;
        },
      },
    });
    const client = await raw();
    await client.greet();
    const item = (data: string) => ({
      jsonrpc: "2.0",
      method: "stream.item",
      params: { id: 1, item: { type: "stdin", data } },
    });
    const call = { jsonrpc: "2.0", id: 1, method: "exec.run", params };
    const end = { jsonrpc: "2.0", method: "stream.end", params: { id: 1 } };
    client.send([call, item("one"), item("two"), end]);
    const echoed = (data: string) => ({ method: "stream.item", params: { id: 1, item: chunk(data) } });
    expect(await client.next()).toMatchObject(echoed("one"));
    expect(await client.next()).toMatchObject(echoed("two"));
    expect(await client.next()).toEqual([{ jsonrpc: "2.0", id: 1, result: done }]);
  });

  test("that is not an item of the method ends the call with an error", async () => {
    const { raw } = await start({
      "exec.run": {
        ...parsers,
        handle: (_, { signal }) =>
          new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      },
    });
    const client = await raw();
    await client.greet();
    client.send({ jsonrpc: "2.0", id: 1, method: "exec.run", params });
    client.send({ jsonrpc: "2.0", method: "stream.item", params: { id: 1, item: { type: "nonsense" } } });
    expect(await client.next()).toMatchObject({ id: 1, error: { data: { code: "MX_USAGE" } } });
  });

  test.each([
    [
      "in frames of their own",
      (items: object[], client: RawClient) => items.map((item) => client.send(item)),
    ],
    ["in one batch", (items: object[], client: RawClient) => client.send(items)],
  ])(
    "items beyond the window, %s, are a breach of protocol that ends the call, not memory",
    async (_, send) => {
      const { raw } = await start({
        "exec.run": {
          ...parsers,
          handle: (_, { signal }) =>
            new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        },
      });
      const client = await raw();
      await client.greet();
      client.send({ jsonrpc: "2.0", id: 1, method: "exec.run", params });
      const item = { type: "stdin", data: block };
      send(Array(40).fill({ jsonrpc: "2.0", method: "stream.item", params: { id: 1, item } }), client);
      expect(await client.next()).toMatchObject({ id: 1, error: { data: { code: "MX_PROTOCOL" } } });
    },
  );
});

/** Resolves when a number that moves has stopped moving. */
async function settled(value: () => number): Promise<void> {
  for (let still = 0, last = -1; still < 20; ) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    still = value() === last ? still + 1 : 0;
    last = value();
  }
}

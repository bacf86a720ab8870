import { mxError } from "@mx-agent/base";
import { open } from "@mx-agent/ipc/client";
import { afterEach, describe, expect, test } from "vitest";
import { type TestServer, testServer } from "./support/lapitest.ts";

let running: TestServer | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});
async function start(...args: Parameters<typeof testServer>): Promise<TestServer> {
  running = await testServer(...args);
  return running;
}

const noParams = () => ({});

describe("a call that travels with the greeting", () => {
  test("is answered", async () => {
    const { daemon } = await start({ "daemon.status": { parse: noParams, handle: async () => status } });
    const client = await open({ socket: daemon, version: "0.0.1" });
    expect(await client.call("daemon.status", {}).result).toMatchObject({ pid: 1 });
    expect(client.daemon.pid).toBe(process.pid);
    client.close();
  });

  test("is not heard, and fails as the greeting does, where the peer is not served", async () => {
    let heard = 0;
    const handle = async () => {
      heard++;
      return status;
    };
    const { daemon, agent } = await start(
      { "daemon.status": { parse: noParams, handle } },
      { refusePid: (pid) => pid === process.pid },
    );
    const refused = await open({ socket: daemon, version: "0.0.1" });
    await expect(refused.call("daemon.status", {}).result).rejects.toMatchObject({
      code: "MX_PEER_STARTED_HERE",
    });
    // The same call on the socket that serves it, later: whatever came before was taken by then.
    const served = await open({ socket: agent, version: "0.0.1" });
    await served.call("daemon.status", {}).result;
    expect(heard).toBe(1);
    served.close();
  });
});

describe("a call", () => {
  test("is answered with the handler's result", async () => {
    const { client } = await start({
      "workspace.leave": {
        parse: (params) => params as { room: string },
        handle: async ({ room }) => ({ room_id: `!${room}` }),
      },
    });
    const answer = (await client()).call("workspace.leave", { room: "abc" });
    expect(await answer.result).toEqual({ room_id: "!abc" });
  });

  test("many at once on one connection get each its own answer", async () => {
    const { client } = await start({
      "workspace.members": {
        parse: (params) => params as { room: string },
        handle: async ({ room }) => {
          if (Number(room) % 2) await new Promise((resolve) => setImmediate(resolve));
          return [{ user_id: room, display_name: null, membership: "join", power_level: 0, agents: [] }];
        },
      },
    });
    const connection = await client("agent");
    const rooms = Array.from({ length: 100 }, (_, n) => String(n));
    const answers = await Promise.all(
      rooms.map((room) => connection.call("workspace.members", { room }).result),
    );
    expect(answers.map((members) => members[0]?.user_id)).toEqual(rooms);
  });

  test("that fails brings code, message, hint, origin and details of the error", async () => {
    const { client } = await start({
      "daemon.status": {
        parse: noParams,
        handle: () =>
          Promise.reject(
            mxError("MX_NOT_FOUND", { what: "room", name: "x", hint: "try another" }, { origin: "remote" }),
          ),
      },
    });
    await expect((await client()).call("daemon.status", {}).result).rejects.toMatchObject({
      code: "MX_NOT_FOUND",
      message: "no such room: x",
      hint: "try another",
      origin: "remote",
      details: { name: "x" },
    });
  });

  test("that fails by a bug is MX_INTERNAL for the client, and the daemon hears the cause", async () => {
    const bug = new TypeError("x is not a function");
    const { client, errors } = await start({
      "daemon.status": { parse: noParams, handle: () => Promise.reject(bug) },
    });
    await expect((await client()).call("daemon.status", {}).result).rejects.toMatchObject({
      code: "MX_INTERNAL",
    });
    expect(errors).toEqual([bug]);
  });

  test("with parameters that the parser refuses is MX_USAGE and does not reach the handler", async () => {
    let reached = false;
    const { client } = await start({
      "workspace.leave": {
        parse: () => {
          throw new Error("room is missing");
        },
        handle: async () => {
          reached = true;
          return { room_id: "" };
        },
      },
    });
    const answer = (await client()).call("workspace.leave", { room: "" });
    await expect(answer.result).rejects.toMatchObject({
      code: "MX_USAGE",
      message: "workspace.leave: room is missing",
    });
    expect(reached).toBe(false);
  });

  test("whose answer does not fit a frame is an error, and the connection works on", async () => {
    let size = 17 * 1024 * 1024;
    const { client } = await start({
      "workspace.leave": {
        parse: (params) => params as { room: string },
        handle: async () => ({ room_id: "x".repeat(size) }),
      },
    });
    const connection = await client();
    await expect(connection.call("workspace.leave", { room: "" }).result).rejects.toMatchObject({
      code: "MX_FRAME_TOO_LARGE",
    });
    size = 1;
    expect(await connection.call("workspace.leave", { room: "" }).result).toEqual({ room_id: "x" });
  });
});

describe("a call in progress", () => {
  /** A handler that waits until it is aborted, and says so. */
  function waiting() {
    const entered = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<unknown>();
    return {
      entered: entered.promise,
      aborted: aborted.promise,
      handler: {
        parse: noParams,
        handle: async (_: unknown, { signal }: { signal: AbortSignal }) => {
          entered.resolve();
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
          aborted.resolve(signal.reason);
          throw signal.reason;
        },
      },
    };
  }

  test("is aborted when its client cancels it, and the client hears MX_CANCELLED", async () => {
    const wait = waiting();
    const { client } = await start({ "daemon.status": wait.handler });
    const call = (await client()).call("daemon.status", {});
    await wait.entered;
    call.cancel();
    await expect(call.result).rejects.toMatchObject({ code: "MX_CANCELLED" });
    await wait.aborted;
  });

  test("is aborted when its client goes away", async () => {
    const wait = waiting();
    const { raw, server } = await start({ "daemon.status": wait.handler });
    const client = await raw();
    await client.greet();
    client.send({ jsonrpc: "2.0", id: 1, method: "daemon.status", params: {} });
    await wait.entered;
    client.close();
    expect(await wait.aborted).toMatchObject({ code: "MX_CANCELLED" });
    await expect.poll(() => server.connections()).toEqual([]);
  });

  test("ends for the client when the daemon goes away", async () => {
    const wait = waiting();
    const { client, server } = await start({
      "daemon.status": {
        parse: noParams,
        handle: async () => {
          void wait.handler.handle(undefined, { signal: new AbortController().signal });
          return new Promise(() => {});
        },
      },
    });
    const call = (await client()).call("daemon.status", {});
    await wait.entered;
    await server.close({ grace_ms: 10 });
    await expect(call.result).rejects.toMatchObject({ code: "MX_DAEMON_UNREACHABLE" });
  });

  test("is told when the daemon stops in an orderly way", async () => {
    const wait = waiting();
    const { client, server } = await start({ "daemon.status": wait.handler });
    const call = (await client()).call("daemon.status", {});
    await wait.entered;
    await Promise.all([
      server.close(),
      expect(call.result).rejects.toMatchObject({ code: "MX_NOT_RUNNING" }),
    ]);
  });
});

describe("roles", () => {
  const leave = {
    parse: (params: unknown) => params as { room: string },
    handle: async () => ({ room_id: "!x" }),
  };

  test("an operator's method is refused on the agents' socket and served on the operator's", async () => {
    const { client } = await start({ "workspace.leave": leave });
    const asAgent = (await client("agent")).call("workspace.leave", { room: "x" });
    await expect(asAgent.result).rejects.toMatchObject({ code: "MX_ROLE" });
    const asOperator = (await client("daemon")).call("workspace.leave", { room: "x" });
    expect(await asOperator.result).toEqual({ room_id: "!x" });
  });

  test("the handler knows on which socket and by which process it was asked", async () => {
    const { client, server } = await start({
      "trust.list": {
        parse: () => ({ room: null }),
        handle: async (_, { peer }) => {
          throw mxError("MX_BAD_INPUT", { detail: JSON.stringify(peer) });
        },
      },
    });
    const call = (await client("agent")).call("trust.list", { room: null });
    await expect(call.result).rejects.toThrow(/"role":"agent"/);
    expect(server.connections()).toMatchObject([{ role: "agent", pid: process.pid }]);
  });

  test("a process that the runner started may use the agents' socket, not the operator's", async () => {
    const { client } = await start(
      { "daemon.status": { parse: noParams, handle: async () => status } },
      {
        refusePid: (pid) => pid === process.pid,
      },
    );
    await expect(client("daemon")).rejects.toMatchObject({ code: "MX_PEER_STARTED_HERE" });
    expect(await (await client("agent")).call("daemon.status", {}).result).toMatchObject({ pid: 1 });
  });

  test("a peer that cannot be identified is refused", async () => {
    const { client } = await start({}, { peerOf: () => null });
    await expect(client("agent")).rejects.toMatchObject({ code: "MX_PEER_UID" });
  });
});

const status = { pid: 1 } as never;

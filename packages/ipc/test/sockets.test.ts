import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, lstat, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "@mx-agent/ipc/client";
import { serve } from "@mx-agent/ipc/server";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { readableProgram } from "../../../scripts/readable.ts";
import { handlers, me, run, type TestServer, testServer } from "./support/lapitest.ts";

let dir: string;
let open: { close(): Promise<void> }[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "mx-sock-"));
});
afterEach(async () => {
  for (const one of open) await one.close();
  open = [];
  await rm(dir, { recursive: true, force: true });
});

async function serveAt(sockets: { daemon: string; agent: string }) {
  const server = await serve({
    sockets,
    handlers: handlers({}),
    version: "0.0.1",
    peerOf: () => ({ uid: me, pid: process.pid }),
    refusePid: () => false,
    onError: () => {},
  });
  open.push(server);
  return server;
}
const here = (name = "d") => ({ daemon: join(dir, name), agent: join(dir, "a") });

describe("a socket", () => {
  test("is for its owner alone, and gone when the server is", async () => {
    const server = await serveAt(here());
    expect((await lstat(here().daemon)).mode & 0o777).toBe(0o600);
    expect((await lstat(here().agent)).mode & 0o777).toBe(0o600);
    await server.close();
    await expect(lstat(here().daemon)).rejects.toThrow(/ENOENT/);
    await expect(lstat(here().agent)).rejects.toThrow(/ENOENT/);
  });

  test("that a killed daemon left behind is taken over", async () => {
    const path = here().daemon;
    const dead = spawn(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(path)}, () => console.log("up")); setInterval(() => {}, 1e6)`,
    ]);
    await once(dead.stdout, "data");
    dead.kill("SIGKILL");
    await once(dead, "exit");
    expect((await lstat(path)).isSocket()).toBe(true);
    await serveAt(here());
    const client = await connect({ socket: path, version: "0.0.1" });
    client.close();
  });

  test("of a daemon that lives is never taken", async () => {
    await serveAt(here());
    await expect(serveAt({ daemon: here().daemon, agent: join(dir, "b") })).rejects.toMatchObject({
      code: "MX_ALREADY_RUNNING",
    });
    const client = await connect({ socket: here().daemon, version: "0.0.1" });
    client.close();
  });

  test("is given back when the second one cannot be had", async () => {
    await writeFile(here().agent, "");
    await expect(serveAt(here())).rejects.toMatchObject({ code: "MX_SOCKET_PATH" });
    await expect(lstat(here().daemon)).rejects.toThrow(/ENOENT/);
  });

  test("does not replace a plain file", async () => {
    await writeFile(here().daemon, "precious");
    await expect(serveAt(here())).rejects.toMatchObject({ code: "MX_SOCKET_PATH" });
    expect((await lstat(here().daemon)).isFile()).toBe(true);
  });

  test("with too long a path is refused in words, by both sides", async () => {
    const path = join(dir, "x".repeat(120));
    await expect(serveAt({ daemon: path, agent: here().agent })).rejects.toMatchObject({
      code: "MX_SOCKET_PATH",
    });
    await expect(connect({ socket: path, version: "0" })).rejects.toMatchObject({ code: "MX_SOCKET_PATH" });
  });

  test("in a directory that does not exist is refused in words", async () => {
    await expect(serveAt({ daemon: join(dir, "no", "such"), agent: here().agent })).rejects.toMatchObject({
      code: "MX_SOCKET_PATH",
    });
  });
});

describe("a client says why it cannot connect", () => {
  test("when there is no socket", async () => {
    await expect(connect({ socket: here().daemon, version: "0" })).rejects.toMatchObject({
      code: "MX_DAEMON_UNREACHABLE",
    });
  });

  test("when something else is there", async () => {
    await writeFile(here().daemon, "");
    await expect(connect({ socket: here().daemon, version: "0" })).rejects.toMatchObject({
      code: "MX_SOCKET_PATH",
    });
  });

  test("when the daemon hangs and does not greet", async () => {
    const hung = spawn(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(here().daemon)}, () => console.log("up")); setInterval(() => {}, 1e6)`,
    ]);
    await once(hung.stdout, "data");
    await expect(connect({ socket: here().daemon, version: "0", greeting_ms: 50 })).rejects.toMatchObject({
      code: "MX_DAEMON_SILENT",
      message: expect.stringContaining("has said nothing for 0.05 s"),
    });
    hung.kill("SIGKILL");
    await once(hung, "exit");
  });

  test.runIf(me === 0)("when the system forbids it: not that the daemon is not running", async () => {
    await serveAt(here());
    await chmod(dir, 0o755);
    const client = await readableProgram(fileURLToPath(new URL("../src/client.ts", import.meta.url)));
    onTestFinished(() => client.remove());
    const program = `
      process.setuid(65534);
      const { connect } = await import(${JSON.stringify(client.file)});
      await connect({ socket: ${JSON.stringify(here().daemon)}, version: "0" }).catch((e) => console.log(e.code, e.hint));`;
    const { out } = await run(program);
    expect(out).toMatch(/^MX_SOCKET_FORBIDDEN .*sandbox/);
  });
});

test("closing waits for nobody who never answers", async () => {
  const server: TestServer = await testServer({
    "daemon.status": { parse: () => ({}), handle: () => new Promise(() => {}) },
  });
  const client = await server.raw();
  await client.greet();
  client.send({ jsonrpc: "2.0", id: 1, method: "daemon.status" });
  await server.server.close({ grace_ms: 20 });
  expect(await client.next()).toBeUndefined();
  await rm(server.dir, { recursive: true, force: true });
});

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it } from "vitest";
import { homeserverStatus, startInBackground, stopHomeserver } from "../src/index.ts";

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "mx-homeserver-test-"));
});
afterEach(async () => {
  await stopHomeserver(dataDir);
  await rm(dataDir, { recursive: true });
});

/** What the command line would run: the foreground mode, in a process of its own. */
function command(): string[] {
  const index = new URL("../src/index.ts", import.meta.url).href;
  const options = {
    bind: { host: "127.0.0.1", port: 0 },
    dataDir,
    name: "localhost",
    registration: "closed",
  };
  const script = `import { runHomeserver } from ${JSON.stringify(index)}; await runHomeserver(${JSON.stringify(options)});`;
  return [process.execPath, "--input-type=module", "-e", script];
}

it("starts in the background, tells its status, and stops", async () => {
  expect(homeserverStatus(dataDir)).toEqual({ running: false });
  const running = await startInBackground({ dataDir, command: command() });
  expect(homeserverStatus(dataDir)).toEqual({ running: true, ...running });
  expect((await fetch(`${running.url}/health`)).status).toBe(200);
  await expect(startInBackground({ dataDir, command: command() })).rejects.toThrow("is running");
  expect(await stopHomeserver(dataDir)).toBe(true);
  expect(homeserverStatus(dataDir)).toEqual({ running: false });
  expect(await stopHomeserver(dataDir)).toBe(false);
  await expect(fetch(`${running.url}/health`)).rejects.toThrow();
});

it("a killed server does not count as running, nor does a file that names somebody else's process", async () => {
  const { pid } = await startInBackground({ dataDir, command: command() });
  process.kill(pid, "SIGKILL");
  await expect.poll(() => homeserverStatus(dataDir), { timeout: 10_000 }).toEqual({ running: false });
  const forged = { pid: process.pid, url: "http://127.0.0.1:1", started_at: new Date().toISOString() };
  await writeFile(join(dataDir, "homeserver.json"), JSON.stringify(forged));
  expect(homeserverStatus(dataDir)).toEqual({ running: false });
  expect(await stopHomeserver(dataDir)).toBe(false);
  const again = await startInBackground({ dataDir, command: command() });
  expect(again.pid).not.toBe(pid);
});

it("several may ask at once: none of them takes another for a server", async () => {
  const { pid } = await startInBackground({ dataDir, command: command() });
  process.kill(pid, "SIGKILL");
  await expect.poll(() => homeserverStatus(dataDir), { timeout: 10_000 }).toEqual({ running: false });
  const other = new DatabaseSync(join(dataDir, "lock.db"));
  other.exec("BEGIN; SELECT COUNT(*) FROM sqlite_schema");
  expect(homeserverStatus(dataDir)).toEqual({ running: false });
  expect(await stopHomeserver(dataDir)).toBe(false);
  other.close();
});

it("a command that ends without answering is an error with its reason", async () => {
  const failing = [process.execPath, "-e", "process.exit(3)"];
  await expect(startInBackground({ dataDir, command: failing })).rejects.toThrow("exit status 3");
  await expect(startInBackground({ dataDir, command: ["/nonexistent"] })).rejects.toThrow("ENOENT");
  const words = JSON.stringify({ error: { code: "MX_USAGE", message: "not there", hint: "elsewhere" } });
  const telling = [process.execPath, "-e", `console.log(${JSON.stringify(words)}); process.exit(64)`];
  await expect(startInBackground({ dataDir, command: telling })).rejects.toMatchObject({
    code: "MX_USAGE",
    hint: "elsewhere",
  });
});

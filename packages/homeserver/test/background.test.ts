import { mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
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

/** What the command line would have Node run: the foreground mode, in a process of its own. */
function args(): string[] {
  const index = new URL("../src/index.ts", import.meta.url).href;
  const options = {
    bind: { host: "127.0.0.1", port: 0 },
    dataDir,
    name: "localhost",
    registration: "closed",
  };
  const script = `import { runHomeserver } from ${JSON.stringify(index)}; await runHomeserver(${JSON.stringify(options)});`;
  return ["--input-type=module", "-e", script];
}

it("starts in the background, tells its status, and stops", async () => {
  expect(homeserverStatus(dataDir)).toEqual({ running: false });
  const running = await startInBackground({ dataDir, args: args() });
  expect(homeserverStatus(dataDir)).toEqual({ running: true, ...running });
  expect((await fetch(`${running.url}/health`)).status).toBe(200);
  await expect(startInBackground({ dataDir, args: args() })).rejects.toThrow("is running");
  expect(await stopHomeserver(dataDir)).toBe(true);
  expect(homeserverStatus(dataDir)).toEqual({ running: false });
  expect(await stopHomeserver(dataDir)).toBe(false);
  await expect(fetch(`${running.url}/health`)).rejects.toThrow();
});

it.runIf(process.platform === "linux")(
  "runs with the settings that keep its memory flat, but for those that the operator chose",
  async () => {
    const started = async (env?: NodeJS.ProcessEnv) => {
      const { pid } = await startInBackground({
        dataDir,
        args: args(),
        ...(env === undefined ? {} : { env }),
      });
      const [words, variables] = await Promise.all(
        ["cmdline", "environ"].map(async (of) => (await readFile(`/proc/${pid}/${of}`, "utf8")).split("\0")),
      );
      await stopHomeserver(dataDir);
      return [...(words ?? []), ...(variables ?? [])];
    };
    expect(await started()).toEqual(
      expect.arrayContaining(["--max-semi-space-size=4", "--max-old-space-size=1024", "MALLOC_ARENA_MAX=1"]),
    );
    const chosen = await started({ ...process.env, MALLOC_ARENA_MAX: "8" });
    expect(chosen).toContain("MALLOC_ARENA_MAX=8");
    expect(chosen).not.toContain("MALLOC_ARENA_MAX=1");
  },
);

it("a killed server does not count as running, nor does a file that names somebody else's process", async () => {
  const { pid } = await startInBackground({ dataDir, args: args() });
  process.kill(pid, "SIGKILL");
  await expect.poll(() => homeserverStatus(dataDir), { timeout: 10_000 }).toEqual({ running: false });
  const forged = { pid: process.pid, url: "http://127.0.0.1:1", started_at: new Date().toISOString() };
  await writeFile(join(dataDir, "homeserver.json"), JSON.stringify(forged));
  expect(homeserverStatus(dataDir)).toEqual({ running: false });
  expect(await stopHomeserver(dataDir)).toBe(false);
  const again = await startInBackground({ dataDir, args: args() });
  expect(again.pid).not.toBe(pid);
});

it("a log that grew too large is put aside when the next server starts", async () => {
  const log = join(dataDir, "homeserver.log");
  await writeFile(log, "of last year");
  await truncate(log, 40 * 1024 * 1024);
  await startInBackground({ dataDir, args: args() });
  expect((await stat(log)).size).toBeLessThan(1_000_000);
  expect((await readFile(`${log}.1`, "utf8")).startsWith("of last year")).toBe(true);
});

it("several may ask at once: none of them takes another for a server", async () => {
  const { pid } = await startInBackground({ dataDir, args: args() });
  process.kill(pid, "SIGKILL");
  await expect.poll(() => homeserverStatus(dataDir), { timeout: 10_000 }).toEqual({ running: false });
  const other = new DatabaseSync(join(dataDir, "lock.db"));
  other.exec("BEGIN; SELECT COUNT(*) FROM sqlite_schema");
  expect(homeserverStatus(dataDir)).toEqual({ running: false });
  expect(await stopHomeserver(dataDir)).toBe(false);
  other.close();
});

it("a command that ends without answering is an error with its reason", async () => {
  const failing = ["-e", "process.exit(3)"];
  await expect(startInBackground({ dataDir, args: failing })).rejects.toThrow("exit status 3");
  await expect(startInBackground({ dataDir, args: ["/nonexistent"] })).rejects.toThrow("exit status 1");
  const words = JSON.stringify({ error: { code: "MX_USAGE", message: "not there", hint: "elsewhere" } });
  const telling = ["-e", `console.log(${JSON.stringify(words)}); process.exit(64)`];
  await expect(startInBackground({ dataDir, args: telling })).rejects.toMatchObject({
    code: "MX_USAGE",
    hint: "elsewhere",
  });
});

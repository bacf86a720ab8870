import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { login } from "../../src/matrix/login.ts";
import type { Credentials } from "../../src/matrix/types.ts";
import { newUser, plainRoom, request, type Site, send, siteOn } from "./helpers.ts";

const scale = Number(process.env.MX_TEST_SCALE ?? "1");
const program = fileURLToPath(new URL("fixtures/session-process.ts", import.meta.url));

/** Before and after every durable write and every send of the Matrix layer. */
const failpoints = [
  "sync.before_commit",
  "sync.after_commit",
  "inbox.before_delivery",
  "inbox.before_done",
  "inbox.after_done",
  "outbox.before_enqueue",
  "outbox.after_enqueue",
  "outbox.before_tried",
  "outbox.before_send",
  "outbox.after_send",
  "outbox.before_confirmed",
  "outbox.after_confirmed",
  "backfill.before_commit",
  "backfill.after_commit",
];

let server: TestHomeserver;
let site: Site;
const children = new Set<ChildProcess>();
beforeAll(async () => {
  server = await startHomeserverForTests();
  site = siteOn(server);
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await site.closeMachines();
});
afterAll(() => server?.close());

/** Starts the session's process; resolves with how it ended, or that it is ready and stays. */
function run(dir: string, credentials: Credentials, failpoint?: string) {
  const { MX_AGENT_FAILPOINT: _, ...env } = process.env;
  const child = spawn(process.execPath, [program, JSON.stringify({ dir, credentials })], {
    env: { ...env, ...(failpoint && { MX_AGENT_FAILPOINT: failpoint }) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(child);
  const ended = new Promise<NodeJS.Signals | number | null>((resolve) => {
    child.once("exit", (code, signal) => {
      children.delete(child);
      resolve(signal ?? code);
    });
  });
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (JSON.parse(line).ready) resolve();
    });
  });
  return { child, ended, ready };
}

const passages = Array.from({ length: Math.max(1, Math.round(12 * scale)) }, (_, n) => n + 1);

test.each([true, false])(
  "killed anywhere, every request is answered, and answered once (encrypted: %s)",
  async (encrypted) => {
    const dir = await mkdtemp(join(tmpdir(), "mx-crash-"));
    const who = await newUser(server);
    const credentials = await login({
      fetch,
      homeserver: server.url,
      method: { kind: "password", ...who },
      device_name: "crash",
    });
    const laptop = await site.machine();
    const room_id = await laptop.session.createRoom({
      ...plainRoom,
      encrypted,
      invite: [credentials.user_id],
    });
    await site.api({ ...laptop, credentials }, "POST", `/join/${room_id}`, {});
    // The first run makes keys and finds the room; after it every run is a restart.
    const first = run(dir, credentials);
    await first.ready;
    first.child.kill("SIGKILL");
    await first.ended;

    let asked = 0;
    let kills = 0;
    const answers = () =>
      laptop.events
        .filter((one) => one.sender === credentials.user_id)
        .map((one) => Number(Object(one.content).answer));
    const ask = async () =>
      expect(await send(laptop, request(room_id, { ask: ++asked }))).toMatchObject({ ok: true });

    for (const passage of passages) {
      // Back-fill is the same for both, and encrypting what it takes is slow.
      for (const failpoint of failpoints.filter((name) => !encrypted || !name.startsWith("backfill"))) {
        // While it is away more than one /sync holds, now and then, so that there are gaps to be filled.
        const many = failpoint.startsWith("backfill") && passage === 1 ? 105 : 1;
        for (let n = 0; n < many; n++) await ask();
        const killed = run(dir, credentials, `${failpoint}:${passage}`);
        await Promise.race([killed.ready, killed.ended]);
        await ask();
        if (
          (await Promise.race([killed.ended, eventually(() => new Set(answers()).size === asked)])) ===
          "SIGKILL"
        )
          kills++;
        killed.child.kill("SIGKILL");
        await killed.ended;
      }
    }
    const last = run(dir, credentials);
    await last.ready;
    await eventually(() => new Set(answers()).size === asked);
    await ask();
    await eventually(() => new Set(answers()).size === asked);
    expect(answers().sort((a, b) => a - b)).toEqual(Array.from({ length: asked }, (_, n) => n + 1));
    const fromThere = laptop.events.filter((one) => one.sender === credentials.user_id);
    expect(new Set(fromThere.map((one) => one.transport.encrypted))).toEqual(new Set([encrypted]));
    const log = await readFile(join(dir, "log"), "utf8").catch(() => "");
    expect(log).not.toContain("set aside");
    expect(kills).toBeGreaterThanOrEqual(failpoints.length / 2);
    console.info(`${asked} requests, ${kills} kills`);
    await rm(dir, { recursive: true });
  },
);

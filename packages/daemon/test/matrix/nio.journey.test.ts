import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests } from "../../../../scripts/homeservers.ts";
import { nioPython } from "../../../../scripts/nio.ts";
import { spawnServer } from "../../../../scripts/synapse/process.ts";
import { VenvUnavailable } from "../../../../scripts/synapse/venv.ts";
import { newUser, plainRoom, REQUEST, request, send, siteOn } from "./helpers.ts";

const program = fileURLToPath(new URL("nio-client.py", import.meta.url));

test("a client of another stack (matrix-nio with libolm) reads what we encrypt, and we read what it does", {
  timeout: 600_000,
}, async ({ skip }) => {
  const python = await nioPython().catch((error: unknown) => {
    if (error instanceof VenvUnavailable) return skip(error.message);
    throw error;
  });
  const homeserver = await startHomeserverForTests();
  onTestFinished(() => homeserver.close());
  const site = siteOn(homeserver);
  onTestFinished(() => site.closeMachines());
  const store = await mkdtemp(join(tmpdir(), "mx-nio-"));
  onTestFinished(() => rm(store, { recursive: true }));

  const laptop = await site.machine();
  await laptop.session.ready();
  const { user, password } = await newUser(homeserver);
  const guest = `@${user}:${homeserver.name}`;
  const nio = await spawnServer(python, [program]);
  onTestFinished(() => nio.kill("SIGKILL"));
  const did: Record<string, unknown>[] = [];
  createInterface({ input: nio.stdout }).on("line", (line) => did.push(JSON.parse(line)));
  const done = (what: string) =>
    eventually(() => did.find((step) => step.did === what), `nio did not ${what}`);

  nio.stdin.write(
    `${JSON.stringify({ url: homeserver.url, user: guest, password, store, type: REQUEST })}\n`,
  );
  const room_id = await laptop.session.createRoom({ ...plainRoom, encrypted: true, invite: [guest] });
  const { device } = await done("join");
  await eventually(() => laptop.session.rooms.isJoined(room_id, guest));

  expect(await send(laptop, request(room_id, { from: "us" }))).toMatchObject({ ok: true });
  expect(await done("read")).toEqual({ did: "read", type: REQUEST, content: { from: "us" } });

  nio.stdin.write(`${JSON.stringify({ from: "nio" })}\n`);
  const { event } = await done("send");
  expect(await laptop.event(({ event_id }) => event_id === event)).toMatchObject({
    type: REQUEST,
    sender: guest,
    content: { from: "nio" },
    transport: { encrypted: true, device_id: device, authentic: true, verified: false },
  });
  const [shown] = (
    await site.api(laptop, "GET", `/rooms/${encodeURIComponent(room_id)}/messages?dir=b&limit=1`)
  ).chunk as { type: string }[];
  expect(shown?.type).toBe("m.room.encrypted");
  expect(did.filter((step) => step.did === "fail to decrypt")).toEqual([]);
});

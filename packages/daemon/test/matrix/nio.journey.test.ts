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
import type { Comparison } from "../../src/matrix/keys/verification.ts";
import { newUser, plainRoom, REQUEST, request, send, siteOn } from "./helpers.ts";

const program = fileURLToPath(new URL("nio-client.py", import.meta.url));

/** Somebody who says yes, and wrote down what was shown. */
function yes(): { shown: object[]; comparison: Comparison } {
  const shown: object[] = [];
  const onStage: Comparison["onStage"] = async (stage) => {
    if (stage.type !== "compare") return;
    shown.push({ emoji: stage.emoji.map(([symbol]) => bare(symbol)), decimal: stage.decimal });
  };
  return { shown, comparison: { signal: new AbortController().signal, onStage, answer: async () => true } };
}

/** Some write an emoji with the sign that it is to be shown in colour. */
const bare = (symbol: string) => symbol.replaceAll("\uFE0F", "");

test("a client of another stack (matrix-nio with libolm) reads what we encrypt, we read what it does, and either verifies the other's device", {
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
  const wrong: Record<string, unknown>[] = [];
  createInterface({ input: nio.stdout }).on("line", (line) => {
    const step = JSON.parse(line);
    (["fail to decrypt", "cancel"].includes(step.did) ? wrong : did).push(step);
  });
  const done = (what: string) =>
    eventually(() => did.find((step) => step.did === what), `nio did not ${what}`);
  const tell = (line: object) => nio.stdin.write(`${JSON.stringify(line)}\n`);

  tell({ url: homeserver.url, user: guest, password, store, type: REQUEST });
  const room_id = await laptop.session.createRoom({ ...plainRoom, encrypted: true, invite: [guest] });
  const { device } = await done("join");
  await eventually(() => laptop.session.rooms.isJoined(room_id, guest));

  expect(await send(laptop, request(room_id, { from: "us" }))).toMatchObject({ ok: true });
  expect(await done("read")).toEqual({ did: "read", type: REQUEST, content: { from: "us" } });

  /** What it sends now arrives, and from which device. */
  const says = async (verified: boolean) => {
    did.splice(0);
    tell({ send: { from: "nio" } });
    const { event } = await done("send");
    expect(await laptop.event(({ event_id }) => event_id === event)).toMatchObject({
      type: REQUEST,
      sender: guest,
      content: { from: "nio" },
      transport: { encrypted: true, device_id: device, authentic: true, verified },
    });
  };
  await says(false);

  const { user_id, device_id } = laptop.credentials;
  const { devices, verifications } = laptop.session.keys;
  for (const role of ["ask", "accept"]) {
    const { shown, comparison } = yes();
    if (role === "ask") await verifications.start(guest, String(device), comparison);
    else {
      tell({ verify: [user_id, device_id] });
      await verifications.accept(guest, null, comparison);
    }
    expect(await done("verify")).toEqual({ did: "verify", device: device_id, verified: true });
    const { emoji, decimal } = await done("compare");
    expect(shown).toEqual([{ emoji: (emoji as string[]).map(bare), decimal }]);
    expect(await devices.find(guest, String(device))).toMatchObject({ verified: true });
    await says(true);
    await devices.unverify(guest, String(device));
  }
  const [shown] = (
    await site.api(laptop, "GET", `/rooms/${encodeURIComponent(room_id)}/messages?dir=b&limit=1`)
  ).chunk as { type: string }[];
  expect(shown?.type).toBe("m.room.encrypted");
  expect(wrong, nio.complaints()).toEqual([]);
});

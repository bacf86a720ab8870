/** What a daemon remembers against replay, when a peer fills it up, and when the clock is set back behind it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EventTypes, newNonce } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Database } from "../../src/state/database.ts";
import { ExecutionTable } from "../../src/state/executions.ts";
import { MAX_NONCES_PER_KEY, NonceTable } from "../../src/state/nonces.ts";
import { migrations } from "../../src/state/schema.ts";
import { HostileSync } from "./support/hostile-sync.ts";
import { type Content, isAbout, type Stage, setTheStage, trust } from "./support/stage.ts";

const REQUEST = EventTypes.execRequest;
const HOUR_MS = 3_600_000;
/** How long a request lives here. */
const LIFETIME_MS = 120_000;
const preload = fileURLToPath(new URL("../outage/support/clock.ts", import.meta.url));

let stage: Stage;
let hostile: HostileSync;
const marks: string[] = [];
/** What the audit log has to have counted so far. */
const counted: Record<string, number> = {};

beforeAll(async () => {
  stage = await setTheStage();
  const { builder, mallory, room } = stage;
  await mallory.announce(room, "mallory");
  await trust(builder, room, "mallory", mallory.key);
  hostile = new HostileSync(stage.proxy);
  await builder.ask(["daemon", "stop"]);
  setClock(0);
  Object.assign(builder.env, { NODE_OPTIONS: `--import=${preload}`, MX_TEST_CLOCK: clockFile() });
  await builder.startDaemon();
});
afterAll(() => stage?.close());

const clockFile = () => join(stage.builder.home, "clock");
/** So far ahead of the system's is the builder's clock from now on. */
const setClock = (ms: number) => writeFileSync(clockFile(), String(ms));

/** A request that is fresh so far ahead of the system's clock. */
function madeAt(ahead_ms: number, mark: string, changes: Content = {}): Content {
  const at = (ms: number) => new Date(Date.now() + ms).toISOString();
  const times = { created_at: at(ahead_ms), expires_at: at(ahead_ms + LIFETIME_MS) };
  return stage.request(mark, { ...times, ...changes });
}

const byAlice = (content: Content) => stage.alice.sign(stage.room, REQUEST, content);
const byMallory = (content: Content) => stage.mallory.sign(stage.room, REQUEST, content);
const mallorys = { requesting_agent: "mallory" };

async function runs(who: "alice" | "mallory", content: Content, mark: string): Promise<void> {
  await stage[who].send(stage.room, REQUEST, content);
  await stage[who].until(isAbout(content, EventTypes.execFinished));
  marks.push(mark);
  expect(await stage.ran()).toEqual(marks);
}

/** The homeserver serves it again, as another event; a request of the daemon's own time then runs, and it alone. */
async function servedAgain(sender: string, content: Content, mark: string, ahead_ms: number): Promise<void> {
  const served = hostile.inject(stage.room, { type: REQUEST, sender, content });
  await runs("alice", byAlice(madeAt(ahead_ms, mark)), mark);
  await served;
}

/** Looks into the state of the daemon, which is stopped meanwhile. */
async function whileStopped(work: (db: Database) => void): Promise<void> {
  const { builder } = stage;
  await builder.ask(["daemon", "stop"]);
  const db = new Database({ file: join(builder.home, "data", "state.db"), migrations, version: "0.0.0" });
  try {
    db.transaction(() => work(db));
  } finally {
    db.close();
  }
  await builder.startDaemon();
}

/** A command that keeps its input in a file of the mark's name. */
const reading = (mark: string) => ["sh", "-c", 'cat > "$0"; echo "$0" >> ran', mark];

const noncesOf = (db: Database, key_id: string, nonce: unknown) =>
  db.all("SELECT nonce FROM nonces WHERE key_id = ? AND nonce = ?", key_id, String(nonce)).length;

test("a trusted peer who fills the memory of nonces locks out himself alone, makes it forget nothing, and may ask again when they have expired", async () => {
  const { mallory, room } = stage;
  const first = byMallory(madeAt(0, "mallory's first", mallorys));
  await runs("mallory", first, "mallory's first");
  const fed = byMallory(madeAt(0, "fed", { ...mallorys, stdin: true, command: reading("fed") }));
  await mallory.send(room, REQUEST, fed);
  await mallory.until(isAbout(fed, EventTypes.execAccepted));
  await whileStopped((db) => {
    const now = Date.now();
    const expires_ts = now + 4 * LIFETIME_MS;
    const { key_id } = mallory.key;
    // The table counts at each, which takes its time; so it is asked for the last few alone.
    for (let n = 0; n < MAX_NONCES_PER_KEY - 10; n++)
      db.run("INSERT INTO nonces VALUES (?, ?, ?)", key_id, newNonce(), expires_ts);
    const nonces = new NonceTable(db);
    const outcomes = Array.from({ length: 11 }, () => nonces.admit(key_id, newNonce(), expires_ts, now));
    expect(outcomes).toEqual([...Array(8).fill("fresh"), "full", "full", "full"]);
  });

  const further = ["one more", "another", "and another"].map((mark) => byMallory(madeAt(0, mark, mallorys)));
  for (const content of further) await mallory.send(room, REQUEST, content);
  const answer = await mallory.until(isAbout(further[0] ?? {}, EventTypes.execRejected));
  expect(answer.content).toMatchObject({ reason: "over_capacity", detail: "wait until some have expired" });
  counted.over_capacity = further.length;
  await runs("alice", byAlice(madeAt(0, "beside a full table")), "beside a full table");

  // What he began he can feed, and ask about.
  const { invocation_id } = fed;
  const { account } = await stage.builder.ask<{ account: { user_id: string; device_id: string } }>([
    ...["daemon", "status"],
  ]);
  const query = mallory.sign(room, EventTypes.invocationQuery, { invocation_id, nonce: newNonce() });
  await mallory.sendToDevice(account.user_id, account.device_id, EventTypes.invocationQuery, query);
  const stdin = (text: string, eof: boolean) => {
    const data = Buffer.from(text).toString("base64");
    const created_at = new Date().toISOString();
    const content = { invocation_id, data, eof, created_at, nonce: newNonce() };
    return mallory.send(room, EventTypes.execStdin, mallory.sign(room, EventTypes.execStdin, content));
  };
  await stdin("first, ", false);
  await stdin("last", true);
  await mallory.until(isAbout(fed, EventTypes.execFinished));
  expect(readFileSync(join(stage.project, "fed"), "utf8")).toBe("first, last");
  marks.push("fed");
  await mallory.pump();
  const told = mallory.messages.find(({ type }) => type === EventTypes.invocationAnswer);
  expect(told?.content).toMatchObject({ invocation_id, nonce: query.nonce });

  // Its nonce is the oldest of all.
  await servedAgain(mallory.user_id, first, "after mallory's first again", 0);
  counted.replayed = 1;

  setClock(HOUR_MS);
  await runs("mallory", byMallory(madeAt(HOUR_MS, "later", mallorys)), "later");
  // Once a minute is enough of an answer.
  const answered = mallory.events.filter(
    ({ type, content }) => type === EventTypes.execRejected && content.reason === "over_capacity",
  );
  expect(answered).toHaveLength(1);
  expect(await stage.refusals()).toEqual(counted);
});

test("a request that is served again after the clock was set back does not run again, nor when its nonce and record are pruned, nor after a restart or a kill", async () => {
  const { alice, builder } = stage;
  // The builder's clock is an hour ahead already; the request is of two hours from now.
  const [then, later] = [2 * HOUR_MS, 3 * HOUR_MS];
  setClock(then);
  const old = byAlice(madeAt(then, "once"));
  await runs("alice", old, "once");

  setClock(later);
  await runs("alice", byAlice(madeAt(later, "an hour on")), "an hour on");
  setClock(then);
  await servedAgain(alice.user_id, old, "after a clock set back", later);

  await builder.ask(["invocation", "prune", "--older-than", "30m"]);
  await whileStopped((db) => {
    expect(noncesOf(db, alice.key.key_id, old.nonce)).toBe(0);
    expect(new ExecutionTable(db).byInvocation(String(old.invocation_id))).toBeUndefined();
  });
  await servedAgain(alice.user_id, old, "after a restart", later);
  counted.expired = 2;
  expect(await stage.refusals()).toEqual(counted);

  process.kill(await builder.daemonPid(), "SIGKILL");
  await expect.poll(async () => (await builder.run(["daemon", "start"])).code, { timeout: 20_000 }).toBe(0);
  await servedAgain(alice.user_id, old, "after a kill", later);
  counted.expired = 3;
  expect(await stage.refusals()).toEqual(counted);
});

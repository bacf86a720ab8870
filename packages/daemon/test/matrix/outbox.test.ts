import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DurableOutbox, type DurableOutboxOptions, type OutboxLink } from "../../src/matrix/outbox.ts";
import type { Database } from "../../src/state/database.ts";
import { OutboxTable } from "../../src/state/outbox.ts";
import { memoryLogger, openDatabase } from "./helpers.ts";

let dir: string;
let db: Database;
let outbox: DurableOutbox | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-outbox-"));
  db = openDatabase(join(dir, "state.db"));
});
afterEach(async () => {
  await outbox?.close();
  db.close();
  rmSync(dir, { recursive: true });
});

/** An outbox whose way to the homeserver is the test's. */
function outboxOver(
  link: Partial<OutboxLink>,
  options: Partial<DurableOutboxOptions> = {},
): { outbox: DurableOutbox; sent: object[] } {
  const sent: object[] = [];
  const started = new DurableOutbox({
    db,
    table: new OutboxTable(db),
    device_id: "D",
    homeserver: "https://x",
    clock: () => 1,
    logger: memoryLogger(),
    retryMs: 1,
    ...options,
    link: {
      admit: async () => undefined,
      encrypt: async () => null,
      send: async (_outgoing, { content }) => {
        sent.push(content);
        return `$${sent.length}`;
      },
      ...link,
    },
  });
  outbox = started;
  return { outbox: started, sent };
}

const event = (n: number) =>
  ({ kind: "event", room_id: "!r:x", type: "com.mxagent.x.v1", content: { n } }) as const;

test("a message that is being encrypted is not replaced under the hands: the newer one follows it", async () => {
  const begun = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const { outbox: over, sent } = outboxOver({
    encrypt: async ({ type, content }) => {
      begun.resolve();
      await release.promise;
      return { type, content };
    },
  });
  over.enqueue(event(1), { replace_key: "k" });
  await begun.promise;
  over.enqueue(event(2), { replace_key: "k" });
  release.resolve();
  await over.drained();
  expect(sent).toEqual([{ n: 1 }, { n: 2 }]);
});

test("what was encrypted once is sent again exactly as it was", async () => {
  let encryptions = 0;
  const tries: object[] = [];
  const { outbox: over } = outboxOver({
    encrypt: async ({ type }) => ({ type, content: { ciphertext: ++encryptions } }),
    send: async (_outgoing, { content }, txn_id) => {
      tries.push({ content, txn_id });
      if (tries.length < 3) throw new Error("no connection");
      return "$1";
    },
  });
  over.enqueue(event(1));
  await over.drained();
  expect(tries).toHaveLength(3);
  expect(new Set(tries.map((one) => JSON.stringify(one))).size).toBe(1);
});

test("who waits until all is sent is told when the homeserver stays away, and it is sent later all the same", async () => {
  const back = Promise.withResolvers<void>();
  const { outbox: over, sent } = outboxOver({ admit: () => back.promise }, { drainMs: 20 });
  over.enqueue(event(1));
  await expect(over.drained()).rejects.toMatchObject({
    code: "MX_HOMESERVER_UNREACHABLE",
    message: expect.stringContaining("1 messages"),
  });
  back.resolve();
  await over.drained();
  expect(sent).toEqual([{ n: 1 }]);
});

test("one lane that can't go on does not hold up another", async () => {
  const { outbox: over, sent } = outboxOver({
    admit: async (outgoing, signal) => {
      if (outgoing.room_id !== "!r:x") return;
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  over.enqueue(event(1));
  const done = Promise.withResolvers<unknown>();
  over.enqueue({ ...event(2), room_id: "!other:x" }, { onSent: done.resolve });
  expect(await done.promise).toMatchObject({ ok: true });
  expect(sent).toEqual([{ n: 2 }]);
  expect(over.depth()).toBe(1);
});

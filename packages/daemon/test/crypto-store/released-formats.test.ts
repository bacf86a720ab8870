import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { answered, openDatabase, openStore, temporaryDirectory, write } from "./support.ts";

const released = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

test("a store of format 1, as it was first released, opens with everything that it holds", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  copyFileSync(released("format-1.db"), file);
  const { indexedDB } = await openStore(file, { missing: "refuse" });
  const database = await openDatabase(indexedDB, "matrix-js-sdk::matrix-sdk-crypto");
  expect(database.version).toBe(15);
  await write(database, ["core", "sessions", "queue"], (transaction) => {
    transaction.objectStore("queue").add({ text: "third" });
  });
  const reading = database.transaction(["core", "sessions", "queue"]);
  const core = reading.objectStore("core");
  const sessions = reading.objectStore("sessions");
  expect(await answered(core.getAllKeys())).toEqual([
    7,
    new Date(1_700_000_000_000),
    "account",
    "\ud800 \u0000 \uffff",
    new Uint8Array([0, 1, 255]).buffer,
    ["room", 1, ["nested"]],
  ]);
  expect(await answered(core.get("account"))).toEqual({
    bytes: new Uint8Array([1, 2, 3]),
    map: new Map([["when", new Date(0)]]),
    set: new Set([1n]),
    nested: [undefined, null, Number.NaN, { deep: "\ud800" }],
  });
  expect(await answered(sessions.index("by_room").getAllKeys("!a"))).toEqual(["s1", "s2"]);
  expect(await answered(sessions.index("by_tag").getAllKeys())).toEqual(["s1", "s2", "s1"]);
  expect(await answered(reading.objectStore("queue").getAll())).toEqual([
    { id: 2, text: "second" },
    { id: 3, text: "third" },
  ]);
});

/** A log that somebody changed while its daemon was down, and what that remembers of it. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { auditMemory } from "../../src/state/audit-memory.ts";
import { Database } from "../../src/state/database.ts";
import { migrations } from "../../src/state/schema.ts";
import {
  aSecondLater,
  decision,
  dir,
  forge,
  lines,
  only,
  problems,
  rewrite,
  signer,
  start,
  stop,
} from "./support/world.ts";

/** What the daemon keeps of its log elsewhere. */
function memory() {
  const db = new Database({ file: join(dir, "..", "state.db"), migrations, version: "test" });
  return { db, memory: auditMemory(db) };
}

test.each<[string, () => void, RegExp]>([
  [
    "rewritten whole, with a valid chain",
    () => forge(null),
    /line 8 is (not the one that is remembered|remembered: it was cut)/,
  ],
  [
    "rewritten whole, and signed with our own key",
    () => forge(signer),
    /line 8 is not the one that is remembered/,
  ],
  ["cut", () => rewrite((all) => all.slice(0, 4)), /line 8 is remembered: it was cut|line 8 is not the one/],
  ["removed", () => rmSync(only()), /line 8 is remembered: it was cut/],
])(
  "a log that was %s while no daemon was there is found by the next one, and stays so",
  async (_, change, problem) => {
    const { db, memory: kept } = memory();
    const log = start({ memory: kept });
    for (let n = 1; n <= 6; n++) {
      log.append(decision(n));
      if (n === 3) log.checkpoint();
    }
    stop(log);
    aSecondLater();
    stop(start({ memory: kept }));
    change();
    for (let starts = 0; starts < 3; starts++) {
      const next = start({ memory: kept });
      expect(next.contradicted()).toMatchObject([{ seq: 8 }]);
      expect((await problems(next)).join()).toMatch(problem);
      next.append(decision(10 + starts));
      stop(next);
    }
    const said = lines().filter((line) => line.includes("audit_contradicted"));
    expect(said.map((line) => JSON.parse(line))).toMatchObject([{ kind: "daemon", remembered_seq: 8 }]);
    db.close();
  },
);

test("what was kept of a log by an older copy of the state is still right, also when the log begins later", async () => {
  const { db, memory: kept } = memory();
  const log = start({ memory: kept, maxBytes: 900, maxFiles: 2 });
  log.append(decision(1));
  const last = kept.last();
  for (let n = 2; n <= 4; n++) log.append(decision(n));
  stop(log);
  if (last) kept.remember(last);
  const again = start({ memory: kept, maxBytes: 900, maxFiles: 2 });
  for (let n = 5; n <= 60; n++) again.append(decision(n));
  stop(again);
  if (last) kept.remember(last);
  const later = start({ memory: kept, maxBytes: 900, maxFiles: 2 });
  expect(later.contradicted()).toEqual([]);
  expect((await later.verify()).ok).toBe(true);
  db.close();
});

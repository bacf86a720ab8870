import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { monotonicClock } from "../../src/state/clock.ts";
import { Database } from "../../src/state/database.ts";
import { migrations } from "../../src/state/schema.ts";
import { Settings } from "../../src/state/settings.ts";

const HOUR_MS = 3_600_000;
const NOON = Date.parse("2026-01-01T12:00:00Z");

let dir: string;
let file: string;
let files = 0;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-clock-"));
  file = join(dir, `state-${++files}.db`);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** What a daemon of this home takes for the time, while the system's clock shows these times one after another. */
function lifetime(system: readonly number[], home = file): number[] {
  const db = new Database({ file: home, migrations, version: "0.0.0" });
  try {
    let shown = 0;
    const now = monotonicClock(new Settings(db), () => shown);
    return system.map((time) => {
      shown = time;
      return now();
    });
  } finally {
    db.close();
  }
}

test("a clock that is set back an hour makes no expired request fresh again", () => {
  const [before = 0, after = 0] = lifetime([NOON, NOON - HOUR_MS]);
  expect(after).toBe(before);
});

test("nor does a restart after that: the latest time is remembered to within ten seconds", () => {
  lifetime([NOON]);
  const [now = 0] = lifetime([NOON - HOUR_MS]);
  expect(now).toBe(NOON);
});

test("a clock that jumps an hour ahead and is set right again goes on when the hour has passed", () => {
  expect(lifetime([NOON, NOON + HOUR_MS, NOON + 1_000, NOON + HOUR_MS + 5])).toEqual([
    NOON,
    NOON + HOUR_MS,
    NOON + HOUR_MS,
    NOON + HOUR_MS + 5,
  ]);
});

test("time never runs backwards, whatever the system's clock does, and however often the daemon is started", () => {
  const times = fc.array(
    fc.array(fc.integer({ min: NOON, max: NOON + 48 * HOUR_MS }), { minLength: 1, maxLength: 6 }),
    {
      minLength: 1,
      maxLength: 4,
    },
  );
  fc.assert(
    fc.property(times, (lives) => {
      const home = join(dir, `property-${++files}.db`);
      let latest = 0;
      for (const life of lives) {
        const seen = lifetime(life, home);
        const [first = 0] = seen;
        expect(first).toBeGreaterThan(latest - 10_000);
        for (let n = 1; n < seen.length; n++) expect(seen[n]).toBeGreaterThanOrEqual(seen[n - 1] ?? 0);
        latest = Math.max(latest, ...seen);
      }
    }),
    { numRuns: 15 },
  );
});

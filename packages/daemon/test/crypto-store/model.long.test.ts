import { rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { memoryIndexedDB } from "../../src/matrix/crypto-store/idb.ts";
import { playAlike } from "./play-alike.ts";
import { anyScript } from "./script.ts";
import { scale, temporaryDirectory } from "./support.ts";

test("20,000 random programs find after each restart what one that never ended finds", async () => {
  const directory = temporaryDirectory();
  const numRuns = Math.ceil(20_000 * scale);
  let runs = 0;
  const script = fc.asyncProperty(anyScript, async (steps) => {
    const file = join(directory, `${++runs}.db`);
    await playAlike(steps, file, memoryIndexedDB());
    rmSync(file);
  });
  await fc.assert(script, { numRuns });
  expect(runs).toBeGreaterThanOrEqual(numRuns);
});

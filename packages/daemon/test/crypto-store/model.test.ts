import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { memoryIndexedDB } from "../../src/matrix/crypto-store/idb.ts";
import { playAlike } from "./play-alike.ts";
import { anyScript } from "./script.ts";
import { temporaryDirectory } from "./support.ts";

test("whatever a program does, and however often it starts again, it finds what one that never ended finds", async () => {
  const directory = temporaryDirectory();
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(anyScript, (script) =>
      playAlike(script, join(directory, `${++runs}.db`), memoryIndexedDB()),
    ),
    { numRuns: 150 },
  );
  expect(runs).toBeGreaterThanOrEqual(150);
}, 120_000);

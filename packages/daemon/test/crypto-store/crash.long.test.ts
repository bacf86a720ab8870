import { copyFileSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MxError } from "@mx-agent/base";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Ledger } from "./fixtures/ledger.ts";
import { IN_FLIGHT, ledgerOf, runWriter } from "./ledger-runs.ts";
import { scale, temporaryDirectory } from "./support.ts";

const times = (full: number) => Math.ceil(full * scale);

test("200 times killed in the middle of thousands of transactions, the ledger is whole each time", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const ledger = new Ledger();
  let kills = 0;
  const killed = fc.asyncProperty(fc.integer({ min: 1, max: 300 }), async (killAfter) => {
    const { told, signal } = await runWriter(file, { last: 10_000_000, killAfter });
    expect(signal).toBe("SIGKILL");
    const there = await ledgerOf(file, ledger);
    expect(there).toBeGreaterThanOrEqual(told);
    expect(there).toBeLessThanOrEqual(told + IN_FLIGHT);
    kills++;
  });
  await fc.assert(killed, { numRuns: times(200), endOnFailure: true });
  console.info(`${kills} kills, ${ledger.n} transactions`);
});

test("wherever a power failure cut the log, what is left is the ledger up to some transaction", async () => {
  const { file, copy } = await killedStore();
  const size = readFileSync(`${file}-wal`).length;
  const cut = fc.asyncProperty(fc.integer({ min: 0, max: size }), async (length) => {
    copy();
    truncateSync(`${file}-wal`, length);
    await ledgerOf(file, new Ledger());
  });
  await fc.assert(cut, { numRuns: times(500) });
});

test("whichever bit of the file flips, the store is refused, or it holds what it held", async () => {
  const { file } = await killedStore();
  const n = await ledgerOf(file, new Ledger());
  // It was closed, so everything is in the file.
  const bytes = readFileSync(file);
  let refused = 0;
  const flip = fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(7), async (at, bit) => {
    const flipped = Buffer.from(bytes);
    flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << bit), at);
    writeFileSync(file, flipped);
    try {
      expect(await ledgerOf(file, new Ledger())).toBe(n);
    } catch (error) {
      if (!(error instanceof MxError)) throw error;
      // A header that says read-only (bytes 18 and 19) is one that can't be written.
      expect(error.code).toMatch(/^MX_(STORE_DAMAGED|STORE_NEWER|CANNOT_WRITE)$/);
      refused++;
    } finally {
      rmSync(`${file}-wal`, { force: true });
    }
  });
  await fc.assert(flip, { numRuns: times(2000) });
  console.info(`${refused} of ${times(2000)} were refused`);
});

/** The files of a process that was killed; `copy` puts them back as they were found. */
async function killedStore() {
  const file = join(temporaryDirectory(), "crypto.db");
  await runWriter(file, { last: 1_000_000, killAfter: 60 });
  for (const suffix of ["", "-wal"]) copyFileSync(file + suffix, `${file}.found${suffix}`);
  const copy = () => {
    for (const suffix of ["", "-wal"]) {
      if (existsSync(file + suffix)) rmSync(file + suffix);
      copyFileSync(`${file}.found${suffix}`, file + suffix);
    }
  };
  return { file, copy };
}

import { join } from "node:path";
import { expect, test } from "vitest";
import { Ledger } from "./fixtures/ledger.ts";
import { IN_FLIGHT, ledgerOf, runWriter } from "./ledger-runs.ts";
import { temporaryDirectory } from "./support.ts";

test("a killed process leaves each transaction wholly or not at all, and every one that it was told of", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const ledger = new Ledger();
  for (const killAfter of [1, 40, 7, 150]) {
    const { told, signal } = await runWriter(file, { last: 1_000_000, killAfter });
    expect(signal).toBe("SIGKILL");
    const there = await ledgerOf(file, ledger);
    expect(there).toBeGreaterThanOrEqual(told);
    expect(there).toBeLessThanOrEqual(told + IN_FLIGHT);
  }
});

test.for([
  ["before-commit", 0],
  ["after-commit", 1],
] as const)(
  "killed right %s, the transaction that nobody was told of is there %i times",
  async ([at, times]) => {
    const file = join(temporaryDirectory(), "crypto.db");
    // The first commit is the version change.
    const environment = { MX_AGENT_FAILPOINT: `crypto-store.${at}:31` };
    const { told, signal } = await runWriter(file, { last: 1_000, environment });
    expect({ told, signal }).toEqual({ told: 29, signal: "SIGKILL" });
    expect(await ledgerOf(file, new Ledger())).toBe(29 + times);
  },
);

test("a commit that fails ends the process loudly, and nothing that others were told is lost", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const ledger = new Ledger();
  // Files may grow to 1 MiB: as a full disk, it strikes wherever the next page is written.
  for (const fileSizeBlocks of [2048, 2200]) {
    const { told, status, stderr } = await runWriter(file, { last: 100_000, fileSizeBlocks });
    expect({ status, stderr }).toEqual({ status: 74, stderr: expect.stringContaining("MX_CANNOT_WRITE") });
    expect(stderr).toContain(file);
    const there = await ledgerOf(file, ledger);
    expect(there).toBeGreaterThanOrEqual(told);
    expect(there).toBeLessThanOrEqual(told + 1);
  }
  const before = ledger.n;
  expect(await runWriter(file, { last: before + 20 })).toMatchObject({ status: 0, told: before + 20 });
  expect(await ledgerOf(file, ledger)).toBe(before + 20);
});

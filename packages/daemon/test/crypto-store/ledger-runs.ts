import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import { openDurableIndexedDB } from "../../src/matrix/crypto-store/index.ts";
import { Ledger } from "./fixtures/ledger.ts";
import { answered, openDatabase } from "./support.ts";

const program = fileURLToPath(new URL("./fixtures/ledger-writer.ts", import.meta.url));

/** Transactions that the writer has begun and not heard of. */
export const IN_FLIGHT = 4;

export interface WriterEnd {
  /** The last transaction that it was told of; 0 when there was none. */
  told: number;
  status: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
}

/** Runs the writer until it ends, or until it is killed after it was told of `killAfter` transactions. */
export function runWriter(
  file: string,
  options: { last: number; killAfter?: number; environment?: object; fileSizeBlocks?: number },
): Promise<WriterEnd> {
  const { last, killAfter = Number.POSITIVE_INFINITY, environment = {}, fileSizeBlocks } = options;
  const limit = fileSizeBlocks === undefined ? "" : `ulimit -f ${fileSizeBlocks} && `;
  const child = spawn(
    "/bin/sh",
    ["-c", `${limit}exec "$0" "$@"`, process.execPath, program, file, String(last)],
    { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] },
  );
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  let stdout = "";
  let stderr = "";
  let lines = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
    lines += chunk.toString().split("\n").length - 1;
    if (lines >= killAfter) child.kill("SIGKILL");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk;
  });
  return new Promise((resolve) => {
    child.once("close", (status, signal) => {
      const told = Number(stdout.trimEnd().split("\n").at(-1) ?? 0);
      resolve({ told, status, signal, stderr });
    });
  });
}

/** The store holds what transactions 1 to n write and nothing else; returns that n. */
export async function ledgerOf(file: string, ledger: Ledger): Promise<number> {
  const store = await openDurableIndexedDB({ file, version: "0.1.0", missing: "refuse" });
  try {
    if ((await store.indexedDB.databases()).length === 0) return 0;
    const database = await openDatabase(store.indexedDB, "ledger");
    const found = new Ledger();
    for (const name of ["left", "right"] as const) {
      const target = database.transaction(name).objectStore(name);
      const [keys, values] = await Promise.all([answered(target.getAllKeys()), answered(target.getAll())]);
      for (const [at, key] of keys.entries()) found[name].set(Number(key), values[at]);
    }
    const n = Number(found.left.get(-1) ?? 0);
    ledger.advanceTo(n);
    expect(ledger.n, "the ledger does not go back").toBe(n);
    for (const name of ["left", "right"] as const) expect(found[name]).toEqual(ledger[name]);
    return n;
  } finally {
    await store.close();
  }
}

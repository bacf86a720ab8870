import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { scale, temporaryDirectory } from "./support.ts";

const program = fileURLToPath(new URL("./fixtures/memory-use.ts", import.meta.url));

test("memory does not grow over 100,000 transactions", async () => {
  const count = Math.ceil(100_000 * scale);
  const file = join(temporaryDirectory(), "crypto.db");
  const child = fork(program, [file, String(count)], { execArgv: ["--expose-gc"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const measured: number[] = [];
  child.on("message", ({ bytes }: { bytes: number }) => measured.push(bytes));
  const [status] = await once(child, "exit");
  expect(status).toBe(0);
  expect(measured).toHaveLength(10);
  const [, second = 0] = measured;
  const last = measured.at(-1) ?? Number.NaN;
  console.info(`after each tenth of ${count}, MB: ${measured.map((bytes) => (bytes / 2 ** 20).toFixed(2))}`);
  // Less than ten bytes for a transaction is noise of the collector's.
  expect(last - second).toBeLessThan(1_000_000);
});

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { boundLog } from "../src/log-bound.ts";

test("a log that grew too large starts anew under whoever writes it, and what it had is kept once", () => {
  const dir = mkdtempSync(join(tmpdir(), "mx-log-"));
  const file = join(dir, "daemon.log");
  boundLog(file, 10);
  const log = openSync(file, "a", 0o600);
  try {
    for (const line of ["first line\n", "second line\n", "third\n"]) {
      writeSync(log, line);
      boundLog(file, 10);
    }
    expect(readFileSync(file, "utf8")).toBe("third\n");
    expect(readFileSync(`${file}.1`, "utf8")).toBe("second line\n");
    expect(statSync(`${file}.1`).mode & 0o077).toBe(0);
  } finally {
    closeSync(log);
    rmSync(dir, { recursive: true });
  }
});

import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A directory of the test's own, gone when it ends. */
export function temporaryDir(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "mx-base-")));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

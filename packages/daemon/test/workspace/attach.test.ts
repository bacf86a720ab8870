import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { gitFacts } from "../../src/workspace/attach.ts";

test.each([
  ["https://user:token@host/x.git", "https://host/x.git"],
  ["https://user:p@ss@host/x@y.git", "https://host/x@y.git"],
  ["https://host/x.git", "https://host/x.git"],
  ["git@host:x.git", "git@host:x.git"],
])("a room is shown no password of a remote: %s", (url, shown) => {
  const dir = mkdtempSync(join(tmpdir(), "mx-git-"));
  try {
    mkdirSync(join(dir, ".git"));
    writeFileSync(join(dir, ".git", "HEAD"), "ref: refs/heads/main\n");
    writeFileSync(join(dir, ".git", "config"), `[remote "origin"]\n\turl = ${url}\n`);
    expect(gitFacts(dir)).toEqual({ remote_url: shown, branch: "main", commit: null });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

/** scripts/install-wiki-hook.sh, on repositories of git's own in a temporary directory. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { root } from "./markdown.ts";

const script = join(root, "scripts", "install-wiki-hook.sh");
let dir: string;
let clone: string;

const env = {
  PATH: process.env.PATH,
  ...{ GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@b", GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@b" },
  ...{ GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" },
};
const git = (cwd: string, ...args: string[]) =>
  execFileSync("git", args, { cwd, env, encoding: "utf8", stdio: "pipe" });
const install = (...args: string[]) =>
  execFileSync(script, args, { cwd: clone, env, encoding: "utf8", stdio: "pipe" });

function commit(pages: Record<string, string>): void {
  mkdirSync(join(clone, "wiki", "reference"), { recursive: true });
  for (const [name, text] of Object.entries(pages)) writeFileSync(join(clone, "wiki", name), text);
  git(clone, "add", ".");
  git(clone, "commit", "-q", "-m", "pages");
}

/** The published page, as the wiki's repository has it now. */
const published = (page: string) => git(join(dir, "it's.wiki.git"), "show", `HEAD:${page}`);

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-wiki-"));
  clone = join(dir, "clone");
  for (const bare of ["project.git", "it's.wiki.git"]) git(dir, "init", "-q", "--bare", "-b", "main", bare);
  git(dir, "clone", "-q", join(dir, "it's.wiki.git"), "seed");
  writeFileSync(join(dir, "seed", "Old.md"), "an old page\n");
  git(join(dir, "seed"), "add", ".");
  git(join(dir, "seed"), "commit", "-q", "-m", "seed");
  git(join(dir, "seed"), "push", "-q", "origin", "HEAD:main");
  git(dir, "init", "-q", "-b", "main", "clone");
  git(clone, "remote", "add", "origin", join(dir, "project.git"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("a push of main publishes the pages, with links that lead somewhere in a wiki", () => {
  install(join(dir, "it's.wiki.git"), "https://example.org/files");
  commit({
    "Home.md":
      "[Policy](Policy.md) [errors](reference/errors.md#errors) [code](../README.md#two) [p](../policy)\n",
    "Policy.md": "x\n",
    "reference/errors.md": "y\n",
  });
  git(clone, "push", "-q", "origin", "main");
  expect(published("Home.md")).toBe(
    "[Policy](Policy) [errors](errors#errors) [code](https://example.org/files/README.md#two) [p](https://example.org/files/policy)\n",
  );
  expect(git(join(dir, "it's.wiki.git"), "ls-tree", "--name-only", "HEAD")).toBe(
    "Home.md\nPolicy.md\nerrors.md\n",
  );
});

test("a push of another branch publishes nothing", () => {
  install(join(dir, "it's.wiki.git"));
  commit({ "Home.md": "new\n" });
  git(clone, "push", "-q", "origin", "main:draft");
  expect(() => published("Home.md")).toThrow();
});

test("a wiki that cannot be reached does not keep the push back", () => {
  install(join(dir, "nowhere.git"));
  commit({ "Home.md": "new\n" });
  git(clone, "push", "-q", "origin", "main");
  expect(git(join(dir, "project.git"), "rev-parse", "main")).toBe(git(clone, "rev-parse", "main"));
});

test("a hook of somebody else is left alone; its own is replaced", () => {
  const hook = join(clone, ".git", "hooks", "pre-push");
  install("git@example.org:a/b.wiki.git");
  expect(readFileSync(hook, "utf8")).toContain("files='https://example.org/a/b/blob/main'");
  install("git@example.org:c/d.wiki.git");
  expect(readFileSync(hook, "utf8")).toContain("c/d.wiki.git");
  writeFileSync(hook, "#!/bin/sh\nexit 0\n");
  expect(() => install("git@example.org:a/b.wiki.git")).toThrow(/left alone/);
  expect(readFileSync(hook, "utf8")).toBe("#!/bin/sh\nexit 0\n");
  expect(existsSync(`${hook}.new`)).toBe(false);
});

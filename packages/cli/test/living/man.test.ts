import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { manPages } from "../../src/man/page.ts";
import { nouns } from "../../src/nouns.ts";
import { commandTree, leaves } from "../../src/tree.ts";

const pages = await manPages("1.2.3");
const hasMan = spawnSync("man", ["--version"]).error === undefined;

test("there is a page for mx-agent and for each of its commands", () => {
  const visible = nouns.filter(({ hidden }) => hidden !== true).map(({ name }) => `mx-agent-${name}`);
  expect(pages.map(({ name }) => name)).toEqual(["mx-agent", ...visible]);
});

/** As `man -l` shows it, and what it complains about. */
function rendered(text: string): { shown: string; complaints: string } {
  const { stdout, stderr } = spawnSync("man", ["--warnings", "-l", "-"], {
    input: text,
    encoding: "utf8",
    env: { PATH: process.env.PATH, MANWIDTH: "100", LC_ALL: "C.UTF-8" },
  });
  return { shown: stdout, complaints: stderr };
}

test.skipIf(!hasMan)(
  "man renders every page without a complaint, with every option and example as it is typed",
  async () => {
    const shown = new Map(pages.map(({ name, text }) => [name, rendered(text)]));
    for (const [name, page] of shown) {
      expect(page.complaints).toBe("");
      expect(page.shown).toMatch(new RegExp(`NAME\\n +${name} - `));
    }
    for (const { path, command } of leaves(await commandTree())) {
      const text = shown.get(`mx-agent-${path[0]}`)?.shown ?? "";
      for (const { flags } of command.options) expect(text, path.join(" ")).toContain(flags);
      expect(text).toContain(`    mx-agent ${path.join(" ")}`);
    }
  },
);

/** What must hold for every page of the project. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorCatalogue } from "@mx-agent/base";
import { describe, expect, test } from "vitest";
import { pages, read, root } from "./markdown.ts";

/** The text without blocks of code, whose brackets are no links. */
const prose = (file: string) => read(file).replace(/^```[\s\S]*?^```/gm, "");

/** The anchors that headings get. */
function anchors(file: string): string[] {
  return [...prose(file).matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

describe.each(pages())("%s", (file) => {
  test("its links lead somewhere", () => {
    const links = [...prose(file).matchAll(/\]\(([^)\s]+)\)/g)].map(([, to = ""]) => to);
    const dead = links.filter((link) => {
      if (/^(https?|mailto):/.test(link)) return false;
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? file : join(dirname(file), path);
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !anchors(target).includes(anchor);
    });
    expect(dead).toEqual([]);
  });

  test("it names no registry's host, and no directory of somebody's machine", () => {
    // What the examples use: a made-up user's home, and temporary directories of the demo.
    const text = read(file).replaceAll("/home/me", "");
    expect(
      text.match(/\bregistry\.[\w-]+\.\w+|https?:\/\/[\w.-]*(?:artifactory|nexus|verdaccio)[\w.-]*/gi),
    ).toBeNull();
    expect(text.match(/(?:^|[\s"'`(=])\/(?:work|root|Users|home)\/\S*/gm)).toBeNull();
  });
});

test("the wiki has its pages, and Home leads to each of them", () => {
  const files = readdirSync(join(root, "wiki")).filter((name) => name.endsWith(".md") && name !== "Home.md");
  expect(files.length).toBeGreaterThanOrEqual(8);
  const home = read("wiki/Home.md");
  expect(files.filter((name) => !home.includes(`](${name})`))).toEqual([]);
});

test("Troubleshooting names only errors that exist", () => {
  const named = [...read("wiki/Troubleshooting.md").matchAll(/\bMX_(?!AGENT_|TEST_|DEV_)[A-Z_]+/g)].map(
    ([name]) => name,
  );
  expect(new Set(named).size).toBeGreaterThan(10);
  expect(named.filter((name) => !(name in errorCatalogue))).toEqual([]);
});

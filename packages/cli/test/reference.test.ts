import { cliReference } from "@mx-agent/cli";
import { expect, test } from "vitest";
import { nouns } from "../src/nouns.ts";

const page = await cliReference();

test("the reference has every command, and none that mx-agent starts itself", () => {
  for (const { name, hidden } of nouns) expect(page.includes(`\n## ${name}\n`)).toBe(hidden !== true);
  expect(page).toContain("\n### trust approve\n");
  expect(page).toContain("\n#### homeserver user add\n");
});

test("every command has an example of itself", () => {
  const sections = page.split(/\n(?=#{2,4} )/).filter((part) => part.includes("```text"));
  expect(sections.length).toBeGreaterThan(40);
  for (const section of sections) {
    const name = /^#+ (.*)/.exec(section)?.[1];
    expect(section).toMatch(new RegExp(`For example: \`mx-agent ${name}[ \`]`));
  }
});

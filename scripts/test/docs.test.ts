import { existsSync } from "node:fs";
import { join } from "node:path";
import { errorCatalogue } from "@mx-agent/base";
import { reasons } from "@mx-agent/protocol/core";
import { expect, test } from "vitest";
import { references, written } from "../docs.ts";
import { root } from "../tasks.ts";

test.each(references)("$file is what the code says", async ({ file, text }) => {
  expect(written(file), "run node scripts/docs.ts").toBe(await text());
});

test("every error and every reason is in the reference", async () => {
  const page = written("wiki/reference/errors.md");
  for (const name of [...Object.keys(errorCatalogue), ...Object.keys(reasons)])
    expect(page).toContain(`\`${name}\``);
});

test.each(["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])(
  "every file that %s names is there",
  (file) => {
    const text = written(file) ?? "";
    const named = [...text.matchAll(/`((?:packages|scripts|wiki|dev|policy|\.ci)\/[\w./-]+)`/g)].map(
      ([, path = ""]) => path,
    );
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  },
);

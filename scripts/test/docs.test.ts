import { errorCatalogue } from "@mx-agent/base";
import { reasons } from "@mx-agent/protocol/core";
import { expect, test } from "vitest";
import { references, written } from "../docs.ts";

test.each(references)("$file is what the code says", async ({ file, text }) => {
  expect(written(file), "run node scripts/docs.ts").toBe(await text());
});

test("every error and every reason is in the reference", async () => {
  const page = written("wiki/reference/errors.md");
  for (const name of [...Object.keys(errorCatalogue), ...Object.keys(reasons)])
    expect(page).toContain(`\`${name}\``);
});

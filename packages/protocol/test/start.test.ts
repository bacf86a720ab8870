import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";

/** The modules that a fresh Node has loaded after importing `name`, by their package. */
function loadedBy(name: string): string {
  const program = `
    import { registerHooks } from "node:module";
    const seen = [];
    registerHooks({ load(url, context, next) { seen.push(url); return next(url, context); } });
    await import(${JSON.stringify(name)});
    process.stdout.write(seen.join("\\n"));`;
  return execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
}

describe("what the command line may import starts without a schema library", () => {
  test.each(["@mx-agent/protocol/core", "@mx-agent/protocol/reasons"])("%s", (name) => {
    expect(loadedBy(name)).not.toContain("zod");
  });

  test("and the test would see one", () => {
    expect(loadedBy("@mx-agent/protocol")).toContain("zod");
  });
});

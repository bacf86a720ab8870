import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

/** The files that a fresh Node has loaded after importing `name`. */
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

test("what every command imports loads neither the logger nor the TOML parser", () => {
  expect(loadedBy("@mx-agent/base")).not.toMatch(/pino|smol-toml/);
  expect(loadedBy("@mx-agent/base/log")).toContain("pino");
});

/** scripts/tarball.ts: mx-agent on a machine that has neither Node nor npm. */
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));
let dir: string;
let program: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-tar-"));
  const made = execFileSync(process.execPath, ["scripts/tarball.ts", "--to", dir], {
    cwd: root,
    encoding: "utf8",
  });
  execFileSync("tar", ["-xzf", made.trim(), "-C", dir]);
  const name = readdirSync(dir).find((one) => !one.endsWith(".gz")) ?? "";
  // As one links it into a directory on PATH.
  mkdirSync(join(dir, "bin"));
  program = join(dir, "bin", "mx-agent");
  symlinkSync(join(dir, name, "bin", "mx-agent"), program);
}, 400_000);
afterAll(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));

/** With the tools that every Linux has, and no Node among them. */
function run(...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  const tools = join(dir, "tools");
  mkdirSync(tools, { recursive: true });
  for (const tool of ["sh", "readlink"])
    if (!readdirSync(tools).includes(tool))
      symlinkSync(execFileSync("which", [tool], { encoding: "utf8" }).trim(), join(tools, tool));
  const env = { PATH: tools, HOME: dir, MX_AGENT_HOME: join(dir, "home") };
  return new Promise((resolve) => {
    execFile(program, args, { env, cwd: "/" }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

test("the tarball brings its own Node: version, daemon and service text work where there is none", async () => {
  expect(await run("--version")).toMatchObject({ code: 0, stdout: expect.stringMatching(/^mx-agent \d/) });
  const started = await run("daemon", "start");
  expect(started.code, started.stderr).toBe(0);
  expect((await run("doctor", "--json")).stdout).toContain('"check":"node","level":"ok"');
  const { stdout } = await run("service", "install", "--print");
  expect(stdout).toMatch(
    new RegExp(`^ExecStart=${dir}/mx-agent-[^ ]*/bin/node ${dir}/mx-agent-[^ ]*/mx-agent\\.js daemon`, "m"),
  );
  expect((await run("daemon", "stop")).code).toBe(0);
});

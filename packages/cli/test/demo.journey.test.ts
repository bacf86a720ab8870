/** The demo, when it does not get to its end. What it prints when it does is what README shows (docs). */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { copyOfClone } from "./support/clone.ts";

let clone: string;
let temporary: string;
beforeAll(async () => {
  clone = await copyOfClone();
  temporary = await mkdtemp(join(tmpdir(), "mx-d-"));
});
afterAll(async () => {
  for (const dir of [clone, temporary]) await rm(dir, { recursive: true, force: true });
});

/** On a terminal, where Ctrl-C reaches every process of the demo's group at once. `keys` are typed when `cue` is shown. */
function demo(env: NodeJS.ProcessEnv, cue?: string, keys = "") {
  const command = `exec '${process.execPath}' scripts/bootstrap.cjs scripts/demo.ts`;
  const child = spawn("script", ["-qec", command, "/dev/null"], {
    cwd: clone,
    env: { ...process.env, TMPDIR: temporary, SHELL: "/bin/sh", ...env },
  });
  let output = "";
  let typed = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (typed || cue === undefined || !output.includes(cue)) return;
    typed = true;
    child.stdin.write(keys);
  });
  return new Promise<{ code: number | null; output: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output: output.replaceAll("\r", "") }));
  });
}

/** Command lines of what has to do with our temporary directory, and what is in it. */
async function left(): Promise<string[]> {
  const found = (await readdir(temporary)).filter((name) => name.startsWith("mx-"));
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    // Another user's, or ended meanwhile.
    const environ = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    if (environ.includes(temporary))
      found.push(await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""));
  }
  return found;
}

/** A runner without runs ends a moment after its daemon. */
async function untilNothingIsLeft(): Promise<void> {
  await expect.poll(left, { timeout: 20_000 }).toEqual([]);
}

test.each([
  ["while a daemon starts", "laptop$ mx-agent daemon start", "\x03"],
  ["while a remote command runs, and again", "two sleeps there", "\x03\x03"],
])("Ctrl-C %s ends all that the demo has started", async (_, cue, keys) => {
  const { code, output } = await demo({}, cue, keys);
  expect(output).toMatch(/\ndemo: failed: ended by SIGINT\n$/);
  expect(code).toBe(130);
  await untilNothingIsLeft();
});

test("a step that fails is said with its reason, and nothing stays", async () => {
  const deep = join(temporary, "deep".repeat(20));
  await mkdir(deep);
  const { code, output } = await demo({ TMPDIR: deep });
  expect(output).toMatch(/\ndemo: failed: mx-agent [\s\S]*reason: MX_SOCKET_PATH/);
  expect(code).toBe(1);
  await untilNothingIsLeft();
});

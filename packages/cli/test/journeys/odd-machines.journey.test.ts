/** Machines that are not as one thinks of a machine: full, read-only, without a terminal, a locale or a runtime directory. */
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mxAgent } from "../support/machine.ts";

interface Ended {
  code: unknown;
  stdout: string;
  stderr: string;
}

let home: string;
let env: NodeJS.ProcessEnv;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "mx-odd-"));
  env = { PATH: process.env.PATH, HOME: home, MX_AGENT_HOME: join(home, "mx") };
});
afterEach(async () => {
  await mx(["daemon", "stop"]);
  await rm(home, { recursive: true, force: true, maxRetries: 5 });
});

const program = [process.execPath, mxAgent];
const mx = (args: string[], around: string[] = []) => run([...around, ...program, ...args]);

function run([file = "", ...args]: string[], extra: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { env: { ...env, ...extra } }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
    child.stdin?.end();
  });
}

/** Sees the machine as it is, but for the home. */
const hasBubblewrap = spawnSync("bwrap", ["--dev-bind", "/", "/", "true"]).status === 0;
const around = (...home: string[]) => ["bwrap", "--dev-bind", "/", "/", ...home];

test.skipIf(!hasBubblewrap)(
  "on a full disk the daemon says what cannot be written, and doctor what to do",
  async () => {
    const full = around("--size", "65536", "--tmpfs", home);
    const started = await mx(["daemon", "start"], full);
    expect(started.code, started.stderr).toBe(74);
    expect(started.stderr).toMatch(/MX_CANNOT_WRITE/);
    const { stdout, code } = await mx(["doctor"], full);
    expect(code).toBe(3);
    expect(stdout).toMatch(/error +disk: .* free at .*\n +next: free some/);
  },
);

test.skipIf(!hasBubblewrap)(
  "with a read-only home nothing starts, and both say that it cannot be written",
  async () => {
    const readOnly = around("--ro-bind", home, home);
    const started = await mx(["daemon", "start"], readOnly);
    expect(started.code, started.stderr).toBe(74);
    expect(started.stderr).toMatch(/MX_CANNOT_WRITE/);
    expect(started.stderr).toContain("read-only file system");
    const written = await mx(["policy", "init"], readOnly);
    expect(written.code, written.stderr).toBe(74);
    const { stdout, code } = await mx(["doctor"], readOnly);
    expect(code).toBe(3);
    expect(stdout).toMatch(/error +directories: nothing can be written in .*read-only file system/i);
    expect(await readdir(home)).toEqual([]);
  },
);

test("without XDG_RUNTIME_DIR, and without any variable of ours, two shells find the same daemon", async () => {
  env = { PATH: process.env.PATH, HOME: home };
  const { code, stderr } = await mx(["daemon", "start"]);
  expect(code, stderr).toBe(0);
  const first = await mx(["daemon", "status", "--json"]);
  // A cron job has even less.
  env = { PATH: "/usr/bin:/bin", HOME: home, LOGNAME: "nobody" };
  expect(JSON.parse((await mx(["daemon", "status", "--json"])).stdout).pid).toBe(
    JSON.parse(first.stdout).pid,
  );
  expect(JSON.parse(first.stdout).sockets.agent).toBe(join(home, ".local/share/mx-agent/run/agent.sock"));
});

test("in a locale that is not UTF-8 its own words are plain ASCII, and it works", async () => {
  for (const locale of [{ LC_ALL: "C" }, { LANG: "ja_JP.SJIS" }]) {
    for (const words of [
      ["--help"],
      ["up", "--help"],
      ["exec", "--help"],
      ["doctor"],
      ["daemon", "frobnicate"],
    ]) {
      const { stdout, stderr } = await run([...program, ...words], locale);
      expect(stdout + stderr).toMatch(/\w/);
      expect((stdout + stderr).match(/[^\x20-\x7e\n]/g)).toBeNull();
    }
  }
  const { code, stderr } = await run([...program, "daemon", "start"], { LC_ALL: "de_DE.ISO-8859-1" });
  expect(code, stderr).toBe(0);
});

test("without a terminal it asks nothing, colours nothing and hides no error", async () => {
  // No controlling terminal, and nothing open but what was asked for.
  const said = join(home, "said");
  const shell = `setsid -w '${program.join("' '")}' "$@" <&- >'${said}' 2>&1`;
  const quietly = async (...words: string[]) => {
    const { code } = await run(["bash", "-c", shell, "bash", ...words]);
    return { code, said: (await run(["cat", said])).stdout };
  };
  expect(await quietly("daemon", "start")).toMatchObject({ code: 0 });
  for (const words of [
    ["auth", "login", "--homeserver", "http://127.0.0.1:9", "--user", "me"],
    ["down", "--purge"],
    ["up"],
  ]) {
    const ended = await quietly(...words);
    expect([words, ended.code]).not.toEqual([words, 0]);
    expect(ended.said).toMatch(/^mx-agent: .*\n {2}reason: MX_\w+/m);
    expect(ended.said).not.toContain("\u001b");
  }
  // Not even a place to write to.
  const nowhere = `'${program.join("' '")}' status <&- >&- 2>&-`;
  expect((await run(["bash", "-c", nowhere])).code).toBe(0);
});

test("on a terminal of 40 columns no line of help or of a list is wider", async () => {
  await mx(["daemon", "start"]);
  await mkdir(join(home, "mx", "config"), { recursive: true });
  await writeFile(join(home, "mx", "config", "policy.toml"), "version = 1\n", { mode: 0o600 });
  for (const words of [["--help"], ["status"], ["config", "show", "--origin"]]) {
    const screen = await onTerminal(40, words);
    const wide = screen.filter((line) => line.length > 40 && !/\/|`|mx-agent exec/.test(line));
    expect([words, wide]).toEqual([words, []]);
    expect(screen.length).toBeGreaterThan(5);
  }
});

/** Runs it on a terminal that script(1) makes; what was on it, line by line, without colours. */
function onTerminal(columns: number, words: string[]): Promise<string[]> {
  const command = `stty cols ${columns}; exec '${[...program, ...words].join("' '")}'`;
  return new Promise((resolve, reject) => {
    const child = spawn("script", ["-qec", command, "/dev/null"], {
      env: { ...env, TERM: "xterm", SHELL: "/bin/sh" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let seen = "";
    child.stdout.on("data", (chunk) => {
      seen += chunk;
    });
    child.on("error", reject);
    child.on("close", () => resolve(stripVTControlCharacters(seen).split(/\r*\n/)));
  });
}

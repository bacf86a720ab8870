/** CLI, daemon and runner of different versions on one machine, as an upgrade leaves them for a while. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Machine, mxAgent, type Ran } from "../support/machine.ts";
import { type TwoDaemons, twoDaemons } from "../support/two-daemons.ts";

const dist = dirname(mxAgent);
/** Beside the bundle: what it does not contain is looked for above it. */
const cache = join(dist, "..", ".cache");
const made: string[] = [];

/** The bundle, as one whose sockets speak so much later a version. */
function bundleOf(later: { major?: number; minor?: number }): string {
  mkdirSync(cache, { recursive: true });
  const dir = mkdtempSync(join(cache, "skew-"));
  made.push(dir);
  // Not what was compiled before: V8 knows a source again by its length.
  cpSync(dist, dir, { recursive: true, filter: (path) => !path.endsWith(".cache") });
  const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.[cm]js$/.test(name),
  );
  let changed = 0;
  for (const file of files.map((name) => join(dir, name))) {
    const text = readFileSync(file, "utf8");
    const next = text.replace(
      /((?:IPC|RUNNER)_VERSION = )\{ major: (\d+), minor: (\d+) \}/g,
      (_, name: string, major: string, minor: string) => {
        changed++;
        return `${name}{ major: ${Number(major) + (later.major ?? 0)}, minor: ${Number(minor) + (later.minor ?? 0)} }`;
      },
    );
    if (next !== text) writeFileSync(file, next);
  }
  // The CLI's, the daemon's, and the runner's.
  expect(changed).toBe(3);
  return join(dir, "mx-agent.js");
}

const by = (program: string, { env }: Machine, args: string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
    child.stdin?.end();
  });

let two: TwoDaemons;
beforeAll(async () => {
  two = await twoDaemons();
});
afterAll(async () => {
  await two?.close();
  for (const dir of made) rmSync(dir, { recursive: true, force: true });
});

/** A command of the laptop's that goes on until it reads a line. */
async function waiting() {
  const live = two.execLive(["sh", "-c", "echo begun; read line; echo $line"]);
  await live.until("begun");
  return live;
}

test("one minor version apart they work together, and what runs under the older runner goes on", async () => {
  const next = bundleOf({ minor: 1 });
  const { builder } = two;
  const live = await waiting();
  expect(await by(next, builder, ["status"])).toMatchObject({ code: 0 });
  expect(await by(next, builder, ["daemon", "restart"])).toMatchObject({ code: 0 });
  expect(await builder.run(["status"])).toMatchObject({ code: 0 });
  live.child.stdin.end("whole\n");
  expect(await live.ended).toMatchObject({ code: 0, stdout: "begun\nwhole\n" });
  expect(await two.exec(["echo", "and the next one"])).toMatchObject({ code: 0 });
  expect(await builder.run(["daemon", "restart"])).toMatchObject({ code: 0 });
});

test("further apart one line says what to restart, and nothing is lost by that", async () => {
  const later = bundleOf({ major: 1 });
  const { builder } = two;
  const live = await waiting();
  const refused = await by(later, builder, ["invocation", "list"]);
  expect(refused).toMatchObject({ code: 76, stderr: expect.stringContaining("mx-agent daemon restart") });
  expect(refused.stderr).toContain("MX_VERSION_SKEW");
  const unstarted = await by(later, builder, ["daemon", "restart"]);
  expect(unstarted).toMatchObject({ code: 76, stderr: expect.stringContaining("MX_VERSION_SKEW") });
  expect(unstarted.stderr).toContain("the runner");

  await builder.startDaemon();
  live.child.stdin.end("still there\n");
  expect(await live.ended).toMatchObject({ code: 0, stdout: "begun\nstill there\n" });
});

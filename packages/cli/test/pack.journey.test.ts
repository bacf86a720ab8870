/** What is published: the tarball that `npm pack` makes, installed where nothing of ours is. */
import { type ExecFileException, execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));
/** Half as much again as it takes today: what makes it larger than that should be meant. */
const MAX_TARBALL_BYTES = 1_500_000;

interface Ended {
  code: number | string | undefined;
  stdout: string;
  stderr: string;
}

let dir: string;
let tarball: string;
let files: string[];
let installed: string;
let env: NodeJS.ProcessEnv;

/** Ended by its status, never by an exception. What is not given is not inherited, but for the way to the registry. */
function run(
  command: string,
  args: string[],
  options: { cwd?: string; input?: string } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const done = (error: ExecFileException | null, stdout: string, stderr: string) =>
      resolve({ code: error === null ? 0 : (error.code ?? "signal"), stdout, stderr });
    const child = execFile(command, args, { cwd: options.cwd ?? dir, env, maxBuffer: 1 << 26 }, done);
    child.stdin?.end(options.input ?? "");
  });
}

const mxAgent = (args: string[], input?: string) =>
  run(process.execPath, [installed, ...args], input === undefined ? {} : { input });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "mx-pack-"));
  await mkdir(join(dir, "home"), { mode: 0o700 });
  env = { ...process.env, MX_AGENT_HOME: join(dir, "home") };
  for (const name of Object.keys(env)) if (/^MX_AGENT_(?!HOME$)/.test(name)) delete env[name];
  // The bundle is the one that the tests' first step has built.
  const packed = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", dir], {
    cwd: root,
  });
  expect(packed, packed.stderr).toMatchObject({ code: 0 });
  const [made]: { filename: string; files: { path: string }[] }[] = JSON.parse(packed.stdout);
  if (made === undefined) throw new Error(`npm pack made nothing: ${packed.stdout}`);
  tarball = join(dir, made.filename);
  files = made.files.map(({ path }) => path);
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true, maxRetries: 5 });
});

describe("the tarball", () => {
  test("holds the bundle, the sample policies, the README and the licence, and nothing else", () => {
    const expected =
      /^(dist\/(cli\.cjs|load\.cjs|mx-agent\.js|cli-v[\d.]+-\w+\.cache)|dist\/(cli\.cjs|lib\/[\w-]+\.mjs)\.LEGAL\.txt|dist\/lib\/[\w-]+\.mjs|policy\/[\w-]+\.toml|dist\/man\/[\w-]+\.1|service\/[\w.-]+)$/;
    const alone = [
      "dist/THIRD-PARTY-LICENSES.txt",
      "dist/package.json",
      "LICENSE",
      "README.md",
      "package.json",
    ];
    expect(files.filter((file) => !expected.test(file)).sort()).toEqual(alone.sort());
    expect(files).toEqual(expect.arrayContaining(["dist/mx-agent.js", "policy/personal.toml"]));
  });

  test("is small", async () => {
    expect((await stat(tarball)).size).toBeLessThan(MAX_TARBALL_BYTES);
  });

  test("names no directory of the machine that built it", async () => {
    const naming: string[] = [];
    for (const file of files.filter((path) => path.startsWith("dist/")))
      if ((await readFile(join(root, file), "latin1")).includes(root.replace(/\/$/, ""))) naming.push(file);
    expect(naming).toEqual([]);
  });

  test("carries the licence of every package that is in the bundle", async () => {
    const { outputs }: { outputs: Record<string, { inputs: Record<string, unknown> }> } = JSON.parse(
      await readFile(join(root, ".cache", "bundle-meta.json"), "utf8"),
    );
    const inputs = Object.values(outputs).flatMap((output) => Object.keys(output.inputs));
    const packages = new Set(
      inputs.flatMap((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []),
    );
    expect(packages.size).toBeGreaterThan(10);
    const licences = await readFile(join(root, "dist", "THIRD-PARTY-LICENSES.txt"), "utf8");
    const named = [...licences.matchAll(/^-{80}\n(\S+) \d\S* \([^)]+\)\n\n(?!-{80})\S/gm)].map(
      ([, name]) => name,
    );
    expect(named.sort()).toEqual([...packages].sort());
  });
});

describe("installed into an empty folder without its install scripts", () => {
  beforeAll(async () => {
    const folder = join(dir, "empty");
    await mkdir(folder);
    await writeFile(join(folder, "package.json"), "{}\n");
    const done = await run(
      "npm",
      ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", tarball],
      { cwd: folder },
    );
    expect(done, done.stderr).toMatchObject({ code: 0 });
    installed = join(folder, "node_modules", "mx-agent", "dist", "mx-agent.js");
  });

  test("says its version, by the name that npm gave it", async () => {
    const { version }: { version: string } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const said = await run(join(dir, "empty", "node_modules", ".bin", "mx-agent"), ["--version"]);
    expect(said).toEqual({ code: 0, stdout: `mx-agent ${version}\n`, stderr: "" });
  });

  test("starts a homeserver and a daemon, logs in, makes an encrypted workspace, and stops both", async () => {
    const data = join(dir, "homeserver");
    const step = async (args: string[], input?: string): Promise<Record<string, unknown>> => {
      const done = await mxAgent([...args, "--json"], input);
      expect(done, `mx-agent ${args.join(" ")}\n${done.stderr}`).toMatchObject({ code: 0 });
      return JSON.parse(done.stdout);
    };
    try {
      const { url } = await step(["homeserver", "start", "--data", data, "--bind", "127.0.0.1:0"]);
      await step(
        ["homeserver", "user", "add", "ann", "--data", data, "--password-stdin"],
        "a-long-password-1\n",
      );
      await step(["daemon", "start"]);
      const login = ["auth", "login", "--homeserver", String(url), "--user", "ann", "--password-stdin"];
      expect(await step(login, "a-long-password-1\n")).toMatchObject({ user_id: "@ann:localhost" });
      expect(await step(["workspace", "create", "shed"])).toMatchObject({ encrypted: true });
    } finally {
      const ended = [
        await mxAgent(["daemon", "stop"]),
        await mxAgent(["homeserver", "stop", "--data", data]),
      ];
      expect(ended).toMatchObject([{ code: 0 }, { code: 0 }]);
    }
  });

  const old = ["/usr/bin/node", "/usr/local/bin/node"].find((path) => existsSync(path));
  test("on an old Node says which one it needs, and ends with 78", async () => {
    // Where the machine has no Node of its own, or a new one, the entry file must at least be old JavaScript.
    const version = old === undefined ? "" : (await run(old, ["--version"])).stdout;
    if (old !== undefined && Number(/^v(\d+)/.exec(version)?.[1]) < 24) {
      const said = await run(old, [installed, "--version"]);
      expect(said).toMatchObject({ code: 78, stdout: "" });
      expect(said.stderr).toBe(`mx-agent needs Node 24 or later; this is ${version.trim()} (${old})\n`);
    }
    expect(await readFile(installed, "utf8")).not.toMatch(/=>|`|\b(const|let|async|await|class)\b|\?\?|\?\./);
  });

  test("brings no code of ours but what the tarball holds", async () => {
    expect(
      (await readdir(join(dir, "empty", "node_modules"))).filter((name) => name.startsWith("@mx-agent")),
    ).toEqual([]);
  });
});

/** Every command that README and wiki show is typed here as it stands there, and does what they say. */
import { spawn, spawnSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { createServer } from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";
import { version } from "@mx-agent/base";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { copyOfClone } from "../support/clone.ts";
import { type Block, blocksOf } from "./markdown.ts";
import { World } from "./session.ts";
import { compare } from "./transcript.ts";

/** In this order: each goes on where the one before it ended. */
const wiki = [
  "Getting-Started",
  "Core-Concepts",
  "Policy",
  "AI-Agent-Orchestration",
  "Security-and-Sandboxing",
  "Operating",
  "Troubleshooting",
  "Protocol",
  "Home",
  "What-Survives",
  "Benchmarks",
].map((page) => `wiki/${page}.md`);

const sessions = (file: string) => blocksOf(file).filter(({ kind }) => kind === "console");

/** The parts of README that begin without mx-agent. */
const DEMO = "See it run";
const INSTALLATION = "Installation";
const tour = () => sessions("README.md").filter(({ section }) => ![DEMO, INSTALLATION].includes(section));

/** Stands for cloudflared: prints an address as it does. */
const CLOUDFLARED = `echo "INF |  https://quiet-plum-orchard.trycloudflare.com  |" >&2; sleep 600`;

/** How npm comes to its packages, and which of them it has, is the machine's. */
const NPM = /^(npm_config_(registry|cache|userconfig|cafile)|(https?|no)_proxy|NODE_EXTRA_CA_CERTS)$/i;
const npm = {
  npm_config_userconfig: join(homedir(), ".npmrc"),
  npm_config_cache: join(homedir(), ".npm"),
  npm_config_prefer_offline: "true",
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => NPM.test(name))),
};

/** Runs the blocks of a page in order; how many commands that were. */
async function runAll(world: World, blocks: readonly Block[]): Promise<number> {
  let commands = 0;
  for (const block of blocks) commands += await world.run(block);
  return commands;
}

/** Stands for the user's systemd: starts, in a session of its own, what the unit says, and ends it. */
const SYSTEMCTL = `unit="$HOME/.config/systemd/user/mx-agent.service" pid="$HOME/.service.pid"
case "$*" in
*show-environment | *daemon-reload | *enable\\ mx-agent.service) ;;
*restart\\ *) setsid sh -c "exec $(sed -n 's/^ExecStart=//p' "$unit")" > /dev/null 2>&1 < /dev/null & echo $! > "$pid" ;;
*disable\\ --now\\ *) kill "$(cat "$pid")"; while kill -0 "$(cat "$pid")" 2> /dev/null; do sleep 0.05; done ;;
*is-active* | *is-enabled*) kill -0 "$(cat "$pid")" ;;
*) exit 1 ;;
esac`;

/** A registry of npm that has this version of mx-agent as the latest. */
function registryOf(latest: string) {
  const server = createServer((_, response) => {
    const versions = { [latest]: { name: "mx-agent", version: latest, dist: { tarball: "x" } } };
    const time = { [latest]: "2026-01-01T00:00:00.000Z" };
    response.writeHead(200, { "content-type": "application/json", connection: "close" });
    response.end(JSON.stringify({ name: "mx-agent", "dist-tags": { latest }, versions, time }));
  });
  return {
    listen: async () => {
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const address = server.address();
      return typeof address === "object" ? (address?.port ?? 0) : 0;
    },
    close: () => server.close(),
  };
}

/** Milliseconds for a page's worth of commands, on a machine that has other things to do. */
const LONG = 400_000;

/** The pages' policies run commands in a sandbox, which a machine may not have. */
const hasSandbox = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "true"]).status === 0;
const sandboxed = test.skipIf(!hasSandbox);

describe("README", () => {
  sandboxed(
    "its tour works as it is typed, and leaves nothing",
    async () => {
      const port = await freePort();
      const world = await World.make({
        oneHost: true,
        names: new Map([["127.0.0.1:8008", `127.0.0.1:${port}`]]),
        programs: { cloudflared: CLOUDFLARED },
      });
      try {
        expect(await runAll(world, tour())).toBeGreaterThan(25);
      } finally {
        await world.close();
      }
    },
    LONG,
  );

  test(
    "its installation gives an mx-agent, from npm and from the file with Node inside",
    async () => {
      const names = new Map([
        ["0.1.0", version()],
        ["linux-x64", `linux-${process.arch}`],
      ]);
      // Only what is installed says which version it is.
      const world = await World.make({ oneHost: true, names, programs: { "mx-agent": "exit 1" }, env: npm });
      try {
        await copyOfClone(join(world.dir, "home", "mx-agent"));
        const blocks = sessions("README.md").filter(({ section }) => section === INSTALLATION);
        expect(await runAll(world, blocks)).toBeGreaterThan(5);
      } finally {
        await world.close();
      }
    },
    LONG,
  );

  test(
    "its demo is what `npm run demo` prints",
    async () => {
      const [typed, shown] = blocksOf("README.md").filter(({ section }) => section === DEMO);
      expect(typed?.lines).toEqual(["laptop$ npm run demo"]);
      if (shown === undefined) throw new Error("README.md shows no demo");
      // In a copy, because the demo builds, and other tests run the bundle meanwhile.
      const copy = await copyOfClone();
      try {
        const came = await outputOf("npm", ["run", "--silent", "demo"], copy);
        expect(came.code, came.output).toBe(0);
        // What README shows is of a machine with a sandbox; without one the demo warns, which is not shown there.
        if (hasSandbox) expect(compare(shown.lines, came.output.split("\n"), new Map())).toBeNull();
      } finally {
        await rm(copy, { recursive: true, force: true });
      }
    },
    LONG,
  );
});

describe("the wiki", () => {
  const registry = registryOf(version());
  let homeserver: TestHomeserver;
  let world: World;
  beforeAll(async () => {
    homeserver = await startHomeserverForTests({ kind: "embedded", name: "example.org" });
    for (const user of ["laptop", "builder"]) await homeserver.registerUser(user, "a-long-password-1");
    world = await World.make({
      oneHost: false,
      names: new Map([["https://matrix.example.org", homeserver.url]]),
      files: { password: "a-long-password-1\n" },
      programs: { systemctl: SYSTEMCTL, loginctl: "exit 0" },
      env: { NPM_CONFIG_REGISTRY: `http://127.0.0.1:${await registry.listen()}/` },
    });
  });
  afterAll(async () => {
    registry.close();
    await world?.close().finally(() => homeserver?.close());
  });

  // One test: a page goes on where the one before it ended.
  sandboxed(
    "what its pages type works, in their order",
    async () => {
      expect(await runAll(world, wiki.flatMap(sessions))).toBeGreaterThan(25);
    },
    LONG,
  );
});

describe("blocks of code", () => {
  const all = ["README.md", ...wiki].flatMap(blocksOf);

  test("are sessions that run here, or what a person reads or edits", () => {
    expect(all.filter(({ kind }) => !["console", "text", "toml"].includes(kind))).toEqual([]);
    const typed = ({ lines }: Block) => lines.some((line) => /^(\w*\$ |mx-agent |npm )/.test(line));
    const hidden = all.filter(
      (block) => block.kind !== "console" && typed(block) && !block.lines[0]?.includes("demo:"),
    );
    expect(hidden.map(({ file, line }) => `${file}:${line}`)).toEqual([]);
  });
});

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

function outputOf(
  command: string,
  args: string[],
  cwd: string,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

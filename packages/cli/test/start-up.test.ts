import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const mxAgent = fileURLToPath(new URL("../../../dist/mx-agent.js", import.meta.url));
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** Notes every module that is loaded; the list is the last line of stderr. */
const recorder = `
import { registerHooks } from "node:module";
const loaded = [];
registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
process.on("exit", () => process.stderr.write("\\n" + JSON.stringify(loaded)));
`;

function loadedBy(words: string[]): string[] {
  const home = mkdtempSync(join(tmpdir(), "mx-start-"));
  try {
    const hook = `data:text/javascript,${encodeURIComponent(recorder)}`;
    const { stderr } = spawnSync(process.execPath, ["--import", hook, main, ...words], {
      env: { PATH: process.env.PATH, MX_AGENT_HOME: home },
      encoding: "utf8",
    });
    const loaded: string[] = JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "");
    return loaded.map((url) => url.replace(/^.*\/(packages|node_modules)\//, "$1/"));
  } finally {
    rmSync(home, { recursive: true });
  }
}

/** Packages of others by name, ours as packages/NAME. */
const packagesOf = (files: string[]) =>
  new Set(files.filter((file) => /^(packages|node_modules)\//.test(file)).map(packageOf));
function packageOf(file: string): string {
  const [top, name = "", second] = file.split("/");
  if (top === "packages") return `packages/${name}`;
  return name.startsWith("@") ? `${name}/${second}` : name;
}

test.each([
  ["daemon status", ["daemon", "status"]],
  ["exec", ["exec", "--room", "r", "--agent", "a", "--", "true"]],
  ["workspace list", ["workspace", "list"]],
])("%s loads the command line, the client and the basics, and nothing slow", (_, words) => {
  const files = loadedBy(words);
  expect(files.some((file) => file.startsWith("packages/cli/src/commands/"))).toBe(true);
  const allowed = ["packages/base", "packages/cli", "packages/ipc", "commander", "json-rpc-2.0"];
  expect([...packagesOf(files)].filter((name) => !allowed.includes(name))).toEqual([]);
});

test("a command that loads more says nothing of how", () => {
  const home = mkdtempSync(join(tmpdir(), "mx-start-"));
  try {
    const env = { PATH: process.env.PATH, HOME: home, MX_AGENT_HOME: home };
    const { status, stderr } = spawnSync(process.execPath, [mxAgent, "policy", "init"], {
      env,
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("no command loads another one's file", () => {
  const commands = loadedBy(["daemon", "status"]).filter((file) => file.includes("/src/commands/"));
  expect(commands).toEqual(["packages/cli/src/commands/daemon.ts"]);
});

test("the built command loads no part of Node that it does not use", () => {
  const home = mkdtempSync(join(tmpdir(), "mx-start-"));
  try {
    const list =
      'process.on("exit", () => process.stderr.write("\\n" + JSON.stringify(process.moduleLoadList)))';
    const { stderr } = spawnSync(
      process.execPath,
      ["--import", `data:text/javascript,${encodeURIComponent(list)}`, mxAgent, "daemon", "status"],
      { env: { PATH: process.env.PATH, MX_AGENT_HOME: home }, encoding: "utf8" },
    );
    const loaded: string[] = JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "");
    expect(loaded).toContain("NativeModule net");
    const slow = [
      "child_process",
      "fs/promises",
      "internal/fs/promises",
      "readline",
      "dgram",
      "http",
      "crypto",
      "perf_hooks",
    ];
    expect(slow.filter((name) => loaded.includes(`NativeModule ${name}`))).toEqual([]);
  } finally {
    rmSync(home, { recursive: true });
  }
});

/** Tells on stderr what V8 thought of the code cache. */
const witness = `
import vm from "node:vm";
vm.Script = class extends vm.Script {
  constructor(...args) {
    super(...args);
    process.stderr.write("refused: " + this.cachedDataRejected);
  }
};
`;

test.each([
  ["the Node that built it", [], "refused: false"],
  ["another one, which can't use what was compiled", ["--no-lazy"], "refused: true"],
])("%s starts the program, and leaves nothing behind where others may write", (_, flags, said) => {
  const home = mkdtempSync(join(tmpdir(), "mx-start-"));
  try {
    const hook = `data:text/javascript,${encodeURIComponent(witness)}`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [...flags, "--import", hook, mxAgent, "--version"],
      { env: { PATH: process.env.PATH, HOME: home, TMPDIR: home }, encoding: "utf8" },
    );
    expect(stderr).toBe(said);
    expect(stdout).toMatch(/^mx-agent \d/);
    expect(readdirSync(home)).toEqual([]);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("the program runs from a folder of any name that cannot be written, through a link", () => {
  const home = mkdtempSync(join(tmpdir(), "mx-start-"));
  const [folder, link] = [join(home, "ünï 日本 100%25 #a?b"), join(home, "mx")];
  try {
    cpSync(dirname(mxAgent), folder, { recursive: true });
    chmodSync(folder, 0o555);
    symlinkSync(join(folder, "mx-agent.js"), link);
    const { status, stderr } = spawnSync(
      process.execPath,
      [link, "homeserver", "user", "list", "--data", join(home, "none")],
      { env: { PATH: process.env.PATH, MX_AGENT_HOME: home }, encoding: "utf8" },
    );
    expect(stderr.split("\n")).toEqual([
      `mx-agent: the embedded homeserver can't start: ${join(home, "none")} is not the data directory of a homeserver`,
      "  reason: MX_HOMESERVER_START",
      "  next: `mx-agent homeserver status` shows what is running",
      "",
    ]);
    expect(status).toBe(69);
  } finally {
    chmodSync(folder, 0o755);
    rmSync(home, { recursive: true });
  }
});

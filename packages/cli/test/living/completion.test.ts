/** What is completed, and that real shells ask for it. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AgentInfo, WorkspaceInfo } from "@mx-agent/ipc";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Shell, scripts, shells } from "../../src/completion/scripts.ts";
import { type Home, home } from "../support/daemon-of.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

let here: Home;
beforeEach(async () => {
  here = await home();
});
afterEach(() => here.close());

/** The words that can follow. */
async function complete(...words: string[]): Promise<string[]> {
  const { code, stdout } = await here.mx(["complete", "--", ...words]);
  expect(code).toBe(0);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t")[0] ?? "");
}

const farm = { room_id: "!farm:example.org", name: "farm", alias: null, membership: "join" } as WorkspaceInfo;
const builder = { agent_id: "builder", user_id: "@b:example.org", liveness: "active" } as AgentInfo;

describe("complete", () => {
  test("knows commands, verbs and options, and nothing that mx-agent starts itself", async () => {
    expect(await complete("do")).toEqual(["down", "doctor"]);
    expect(await complete("daemon", "st")).toEqual(["start", "stop", "status"]);
    expect(await complete("homeserver", "user", "")).toEqual(["add", "list"]);
    expect(await complete("exec", "--ro")).toEqual(["--room"]);
    expect(await complete("completion", "")).toEqual(["bash", "zsh", "fish"]);
    expect(await complete("runner")).toEqual([]);
  });

  test("knows the workspaces and agents of this machine, where a value is wanted", async () => {
    await here.daemon({ "workspace.list": () => [farm], "agent.list": () => [builder] });
    expect(await complete("exec", "--room", "")).toEqual(["farm"]);
    expect(await complete("exec", "--room", "farm", "--agent", "b")).toEqual(["builder"]);
    expect(await complete("workspace", "leave", "")).toEqual(["farm"]);
  });

  test("leaves the remote command to nobody, and files to the shell", async () => {
    expect(await complete("exec", "--agent", "a", "--", "l")).toEqual([]);
    expect(await complete("call", "--input", "")).toEqual([]);
  });

  test("does not wait for a daemon that does not answer", async () => {
    await here.daemon({ "workspace.list": () => new Promise(() => {}) });
    expect(await complete("exec", "--room", "")).toEqual([]);
    // Nor for one that is not there.
    expect(await complete("trust", "approve", "")).toEqual([]);
  });
});

const has = (program: string) => spawnSync(program, ["--version"]).error === undefined;

/** A directory with `mx-agent` in it, as a shell finds it. */
async function installed(): Promise<NodeJS.ProcessEnv> {
  const bin = join(here.dir, "bin");
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, "mx-agent"), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  await chmod(join(bin, "mx-agent"), 0o755);
  for (const shell of shells) await writeFile(join(here.dir, `${shell}.completion`), scripts[shell]);
  return { ...here.env, PATH: `${bin}:${here.env.PATH}`, TERM: "dumb", ZDOTDIR: here.dir };
}

const inShell = (shell: Shell) => test.skipIf(!has(shell));

describe("in a real shell", () => {
  inShell("bash")("bash completes at the keyboard", async () => {
    const env = await installed();
    const rc = join(here.dir, "bashrc");
    await writeFile(rc, `PS1='$ '\nsource '${here.dir}/bash.completion'\n`);
    const typed = "mx-agent homes\tuser a\t--help\nexit\n";
    expect(await atKeyboard(["bash", "--noprofile", "--rcfile", rc, "-i"], typed, env)).toContain(
      "Usage: mx-agent homeserver user add",
    );
  });

  inShell("bash")("bash completes names with colons, and quotes what needs it", async () => {
    const env = await installed();
    const odd = {
      room_id: "!x:example.org",
      name: "a farm",
      alias: null,
      membership: "join",
    } as WorkspaceInfo;
    await here.daemon({
      "workspace.list": () => [{ ...farm, name: null, alias: "#farm:example.org" }, odd],
    });
    const ask = (line: string) => `
      source '${here.dir}/bash.completion'
      COMP_LINE='${line}' COMP_POINT=\${#COMP_LINE} COMP_WORDBREAKS=$' \\t:='
      COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}
      _mx_agent; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const answer = async (line: string) =>
      new Promise<string>((resolve) => {
        const child = spawn("bash", ["-c", ask(line)], { env });
        let text = "";
        child.stdout.on("data", (chunk) => {
          text += chunk;
        });
        child.on("close", () => resolve(text.trim()));
      });
    expect(await answer("mx-agent exec --room #farm:ex")).toBe("example.org");
    expect(await answer("mx-agent exec --room a")).toBe("a\\ farm");
  });

  inShell("zsh")("zsh completes at the keyboard", async () => {
    const env = await installed();
    await writeFile(
      join(here.dir, ".zshrc"),
      `PS1='$ '\nautoload -Uz compinit; compinit -u -D\nsource '${here.dir}/zsh.completion'\n`,
    );
    const typed = "mx-agent homes\tuser a\t--help\nexit\n";
    expect(await atKeyboard(["zsh", "-i"], typed, env)).toContain("Usage: mx-agent homeserver user add");
  });

  inShell("fish")("fish completes, with what each word means", async () => {
    const env = await installed();
    const asked = `source '${here.dir}/fish.completion'; complete -C 'mx-agent daemon st'`;
    const said = execFileSync("fish", ["-N", "-c", asked], { env, encoding: "utf8" });
    expect(said).toMatch(/^start\tstart the daemon of this machine/m);
    expect(said).toMatch(/^stop\t/m);
    expect(said).not.toMatch(/^restart\t/m);
  });
});

/** Types into a shell that has a terminal, by script(1); what was on it at the end. */
function atKeyboard(command: string[], typed: string, env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const quoted = command.map((word) => `'${word}'`).join(" ");
    const child = spawn("script", ["-qec", quoted, "/dev/null"], { env: { ...env, SHELL: "/bin/sh" } });
    let seen = "";
    child.stdout.on("data", (chunk) => {
      seen += chunk;
    });
    child.on("error", reject);
    child.on("close", () => resolve(seen));
    child.stdin.write(typed);
  });
}

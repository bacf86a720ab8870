/** Shell sessions of a page: `laptop$ command`, `> ` before the lines that go on with it, then what it prints. */
import { execFile, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAlive } from "../../src/background/alive.ts";
import { mxAgent } from "../support/machine.ts";
import type { Block } from "./markdown.ts";
import { compare, inThisRun, type Names } from "./transcript.ts";

export interface Step {
  machine: string;
  command: string;
  /** As the page says at the end of the command, `# ends with status 77`; else 0. */
  status: number;
  shown: string[];
}

const PROMPT = /^(laptop|builder)\$ (.*)$/;

/** The commands of a block, with what the page shows of each; an error where the first line is no command. */
export function stepsOf({ file, line, lines }: Block): Step[] {
  const steps: Step[] = [];
  for (const [index, text] of lines.entries()) {
    const step = steps.at(-1);
    const [, machine, command] = PROMPT.exec(text) ?? [];
    if (machine !== undefined && command !== undefined)
      steps.push({
        machine,
        command,
        status: Number(/# ends with status (\d+)$/.exec(command)?.[1] ?? 0),
        shown: [],
      });
    else if (step === undefined)
      throw new Error(`${file}:${line + index}: no prompt in front of it: ${text}`);
    else if (text.startsWith("> ") || text === ">") step.command += `\n${text.slice(2)}`;
    else step.shown.push(text);
  }
  return steps;
}

/** Runs the command in the directory and with the variables that the one before it left behind. */
const SHELL = `set -o pipefail
cd "$(cat "$STATE.cwd" 2>/dev/null || echo "$HOME")"
[ ! -e "$STATE.env" ] || . "$STATE.env"
set -a
eval "$1" 2>&1
status=$?
set +a
pwd > "$STATE.cwd"
export -p > "$STATE.env"
exit $status`;

export interface WorldOptions {
  /** Whether the machines are two terminals of one host, with one HOME. */
  oneHost: boolean;
  /** What the page says, and what it is here, before anything has run. */
  names?: Names;
  /** A file that each HOME has. */
  files?: Record<string, string>;
  /** Shell scripts that stand for programs which cannot be had here. */
  programs?: Record<string, string>;
  env?: NodeJS.ProcessEnv;
}

/** The machines of a page: a home for each, and a shell that goes on from block to block. */
export class World {
  readonly dir: string;
  readonly #options: WorldOptions;
  readonly #names: Names;

  private constructor(dir: string, options: WorldOptions) {
    this.dir = dir;
    this.#options = options;
    this.#names = new Map(options.names);
  }

  static async make(options: WorldOptions): Promise<World> {
    const world = new World(await mkdtemp(join(tmpdir(), "mx-docs-")), options);
    await mkdir(join(world.dir, "bin"));
    const programs = { "mx-agent": `exec '${process.execPath}' '${mxAgent}' "$@"`, ...options.programs };
    for (const [name, text] of Object.entries(programs)) {
      await writeFile(join(world.dir, "bin", name), `#!/bin/sh\n${text}\n`);
      await chmod(join(world.dir, "bin", name), 0o755);
    }
    for (const machine of ["laptop", "builder"]) {
      const { HOME = "", XDG_RUNTIME_DIR = "" } = world.#env(machine);
      await mkdir(XDG_RUNTIME_DIR, { recursive: true, mode: 0o700 });
      for (const [name, text] of Object.entries(options.files ?? {}))
        await writeFile(join(HOME, name), text, { mode: 0o600 });
    }
    return world;
  }

  /** Runs every command of the block; an error with file and line at the first that is not as the page says. */
  async run(block: Block): Promise<number> {
    const steps = stepsOf(block);
    const typed = ({ machine, command }: Step) =>
      inThisRun(command, new Map([...this.#names, ["/home/me", this.#env(machine).HOME ?? ""]]));
    const together = block.together
      ? await Promise.all(steps.map((step) => this.#terminal(step.machine, typed(step))))
      : [];
    for (const [index, step] of steps.entries()) {
      const { machine, command, status, shown } = step;
      const where = `${block.file}:${block.line}: ${machine}$ ${command}`;
      const ended = together[index] ?? (await this.#shell(machine, typed(step)));
      if (ended.code !== status)
        throw new Error(`${where}\nended with status ${ended.code}, not ${status}:\n${ended.output}`);
      if (shown.every((line) => line.trim() === "")) continue;
      const came = ended.output.replaceAll(this.#env(machine).HOME ?? "", "/home/me").split("\n");
      const wrong = compare(shown, came, this.#names);
      if (wrong !== null) throw new Error(`${where}\n${wrong}`);
    }
    return steps.length;
  }

  /** Stops what the page started and did not stop; an error where something stays even so. */
  async close(): Promise<void> {
    for (const machine of ["laptop", "builder"]) await this.#shell(machine, "mx-agent down");
    await this.#shell("laptop", "for data in ~/*/homeserver; do mx-agent homeserver stop --data $data; done");
    let left = this.#processes();
    for (let tries = 0; left.length > 0 && tries < 500; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      left = this.#processes();
    }
    for (const { pid } of left) process.kill(pid, "SIGKILL");
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
    if (left.length > 0) throw new Error(`left behind: ${left.map(({ command }) => command).join("; ")}`);
  }

  #env(machine: string): NodeJS.ProcessEnv {
    const HOME = join(this.dir, this.#options.oneHost ? "home" : machine);
    return {
      PATH: `${join(this.dir, "bin")}:${process.env.PATH}`,
      HOME,
      XDG_RUNTIME_DIR: join(HOME, ".run"),
      LANG: "C.UTF-8",
      ...this.#options.env,
      STATE: join(this.dir, machine === "laptop" ? "l" : "b"),
      ...(process.env.NODE_COMPILE_CACHE ? { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE } : {}),
    };
  }

  #shell(machine: string, command: string): Promise<{ code: unknown; output: string }> {
    return new Promise((resolve) => {
      const child = execFile(
        "bash",
        ["-c", SHELL, "bash", command],
        { env: this.#env(machine) },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : error.code, output: stdout + stderr }),
      );
      child.stdin?.end();
    });
  }

  /** At a terminal of its own; what it asks is answered with yes. */
  #terminal(machine: string, command: string): Promise<{ code: unknown; output: string }> {
    return new Promise((resolve) => {
      const line = `[ ! -e "$STATE.env" ] || . "$STATE.env"; ${command}`;
      const env = { ...this.#env(machine), TERM: "xterm", SHELL: "/bin/bash" };
      const child = spawn("script", ["-qec", line, "/dev/null"], { env });
      let output = "";
      let asked = 0;
      const take = (text: string) => {
        output += text;
        for (const questions = output.split("[y/N]").length - 1; asked < questions; asked++)
          child.stdin.write("y\r");
      };
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", take);
      child.stdin.on("error", () => {});
      child.once("close", (code) => resolve({ code, output: output.replaceAll("\r\n", "\n") }));
    });
  }

  /** Those that have one of our homes in their environment, and still run. */
  #processes(): { pid: number; command: string }[] {
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => pid > 0 && pid !== process.pid)
      .flatMap((pid) => {
        try {
          if (!readFileSync(`/proc/${pid}/environ`, "utf8").includes(this.dir) || !isAlive(pid)) return [];
          return [{ pid, command: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ") }];
        } catch {
          // It ended while we looked, or is somebody else's.
          return [];
        }
      });
  }
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "../tasks.ts";

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

const entry = join(root, "dist", "mx-agent.js");
const LEAVE_MS = 40_000;

/** One machine of the demo: a home of its own, and the built `mx-agent` as somebody there would type it. */
export class Machine {
  readonly name: string;
  readonly home: string;
  readonly #say: (line: string) => void;
  readonly #running = new Map<ChildProcess, string | undefined>();
  #left = false;

  constructor(name: string, dir: string, say: (line: string) => void) {
    this.name = name;
    this.home = join(dir, name);
    this.#say = say;
    mkdirSync(this.home, { mode: 0o700 });
  }

  /** Shows the command, runs it, shows what it prints; throws when it does not end with the expected status. */
  async run(
    args: string[],
    options: { input?: string; expect?: number; quiet?: boolean } = {},
  ): Promise<Ended> {
    if (!options.quiet)
      this.#say(`\n  ${this.name}$ ${options.input === undefined ? "" : "… | "}mx-agent ${shown(args)}`);
    const ended = await this.#finish(this.spawn(args, options.input));
    if (!options.quiet) for (const line of lines(ended.stdout, ended.stderr)) this.#say(`  ${line}`);
    if (ended.code !== (options.expect ?? 0))
      throw new Error(
        `mx-agent ${args.join(" ")} on ${this.name} ended with ${ended.code}\n${ended.stderr}${ended.stdout}`,
      );
    return ended;
  }

  async json(args: string[]): Promise<Record<string, unknown>> {
    return JSON.parse((await this.run([...args, "--json"], { quiet: true })).stdout);
  }

  /** Starts a command and calls for each line of its output as it arrives. */
  async follow(args: string[], onLine: (line: string) => void): Promise<Ended> {
    this.#say(`\n  ${this.name}$ mx-agent ${shown(args)}`);
    const child = this.spawn(args);
    if (child.stdout) createInterface({ input: child.stdout }).on("line", onLine);
    return this.#finish(child);
  }

  /** Throws once the demo is ending. */
  spawn(args: string[], input?: string): ChildProcess {
    if (this.#left) throw new Error("the demo is ending");
    return this.#start(args, input);
  }

  /** Starts nothing more of the demo, ends what waits for a remote command, and resolves when no command runs. */
  async leave(): Promise<void> {
    this.#left = true;
    const running = [...this.#running.keys()];
    for (const [child, noun] of this.#running) if (noun === "exec") child.kill("SIGINT");
    const late = setTimeout(() => running.forEach((child) => void child.kill("SIGKILL")), LEAVE_MS);
    await Promise.all(running.map((child) => once(child, "close")));
    clearTimeout(late);
  }

  /** Runs a command while the demo is ending, whatever comes of it. */
  tidy(args: string[]): Promise<Ended> {
    return this.#finish(this.#start(args));
  }

  /**
   * In a group of its own: the terminal's Ctrl-C is for the demo, which first lets a command end that is
   * starting something, and then ends what that has started.
   */
  #start(args: string[], input?: string): ChildProcess {
    const child = spawn(process.execPath, [entry, ...args], {
      env: { ...withoutOurs(process.env), MX_AGENT_HOME: this.home, NO_COLOR: "1" },
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      detached: true,
    });
    this.#running.set(child, args[0]);
    child.on("close", () => this.#running.delete(child));
    child.stdin?.end(input);
    return child;
  }

  #finish(child: ChildProcess): Promise<Ended> {
    const out = { stdout: "", stderr: "" };
    child.stdout?.on("data", (bytes) => {
      out.stdout += bytes;
    });
    child.stderr?.on("data", (bytes) => {
      out.stderr += bytes;
    });
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => resolve({ code: code ?? 128, ...out }));
    });
  }
}

/** What is set for the user's own daemon is not to lead the demo's there. */
function withoutOurs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("MX_AGENT_")));
}

/** A command as a person would type it: quoted where a shell would need that. */
export function shown(args: string[]): string {
  return args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`)).join(" ");
}

function lines(...texts: string[]): string[] {
  return texts.flatMap((text) => text.split("\n").filter((line) => line.trim() !== ""));
}

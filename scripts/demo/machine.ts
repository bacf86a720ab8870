import { type ChildProcess, spawn } from "node:child_process";
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

/** One machine of the demo: a home of its own, and the built `mx-agent` as somebody there would type it. */
export class Machine {
  readonly name: string;
  readonly home: string;
  readonly #say: (line: string) => void;

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

  spawn(args: string[], input?: string): ChildProcess {
    const child = spawn(process.execPath, [entry, ...args], {
      env: { ...process.env, MX_AGENT_HOME: this.home, NO_COLOR: "1" },
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
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

/** A command as a person would type it: quoted where a shell would need that. */
export function shown(args: string[]): string {
  return args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`)).join(" ");
}

function lines(...texts: string[]): string[] {
  return texts.flatMap((text) => text.split("\n").filter((line) => line.trim() !== ""));
}

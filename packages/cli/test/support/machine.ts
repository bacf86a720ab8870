/** A machine of a story: a home of its own, and the built mx-agent in it. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { shellWord } from "@mx-agent/base";
import type { TestHomeserver } from "../../../../scripts/homeservers.ts";
import { isAlive } from "../../src/background/alive.ts";

/** The program under test: MX_TEST_PROGRAM, an installed one for example, or what the build made. */
export const mxAgent =
  process.env.MX_TEST_PROGRAM ?? fileURLToPath(new URL("../../../../dist/mx-agent.js", import.meta.url));

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  stdin?: string | Uint8Array;
  env?: Record<string, string>;
}

export interface Machine {
  readonly name: string;
  readonly home: string;
  /** The name that its user has at the homeserver. */
  readonly account: string;
  readonly user: string;
  readonly password: string;
  /** How mx-agent is called. */
  readonly command: string[];
  /** What its processes see. */
  readonly env: NodeJS.ProcessEnv;
  /** Runs one command to its end. Without `stdin` it reads nothing. */
  run(args: string[], options?: RunOptions): Promise<Ran>;
  /** As `run`, and what it wrote with --json; an error when its status is not 0. */
  ask<T = Record<string, unknown>>(args: string[], options?: RunOptions): Promise<T>;
  /** Starts one command and leaves it running. */
  spawn(args: string[], options?: { env?: Record<string, string> }): RunningCommand;
  /** As `spawn`, on a terminal of its own: what is written to its stdin is typed there, and stdout is the screen. */
  spawnAtTerminal(args: string[]): RunningCommand;
  startDaemon(): Promise<void>;
  /** Of the daemon that runs now. */
  daemonPid(): Promise<number>;
  login(): Promise<void>;
  setPolicy(text: string): Promise<void>;
  /** Ends the daemon and its runner, and removes the home. */
  close(): Promise<void>;
}

export class RunningCommand {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<Ran>;
  #stdout = "";
  #stderr = "";
  #news = Promise.withResolvers<void>();

  constructor([program = "", ...args]: readonly string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(program, args, { env });
    this.child.stdin.on("error", () => {});
    this.child.stdout.on("data", (chunk) => {
      this.#stdout += chunk;
      this.#wake();
    });
    this.child.stderr.on("data", (chunk) => {
      this.#stderr += chunk;
      this.#wake();
    });
    this.#ended = once(this.child, "close").then(([code]) => {
      this.#wake();
      return { code, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get ended(): Promise<Ran> {
    return this.#ended;
  }

  /** Resolves when the text was seen on stdout or stderr; an error when the command ends before. */
  async until(text: string): Promise<void> {
    const over = this.#ended.then(() => true);
    while (!this.#stdout.includes(text) && !this.#stderr.includes(text)) {
      if ((await Promise.race([over, this.#news.promise])) === true && !this.#stdout.includes(text))
        throw new Error(`it ended before ${JSON.stringify(text)}: ${this.#stdout}${this.#stderr}`);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  #wake(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }
}

interface MachineOptions {
  name: string;
  homeserver: TestHomeserver;
}

/** A machine with an account on the homeserver; its daemon is not started yet. */
export async function newMachine({ name, homeserver }: MachineOptions): Promise<Machine> {
  const machine = await bareMachine(name, homeserver);
  await homeserver.registerUser(machine.account, machine.password);
  return machine;
}

/** A machine on which nothing was done yet: no account, no daemon, an empty home. */
export async function bareMachine(name: string, homeserver?: TestHomeserver): Promise<Machine> {
  const home = await mkdtemp(join(tmpdir(), `mx-${name}-`));
  const account = `${name}-${home.slice(-6).toLowerCase()}`;
  const password = `pass-${account}`;
  const config = join(home, "config");
  await mkdir(config, { mode: 0o700 });
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    HOME: home,
    MX_AGENT_HOME: home,
    LANG: "C.UTF-8",
    ...(process.env.NODE_COMPILE_CACHE ? { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE } : {}),
  };
  const spawned = new Set<RunningCommand>();
  const command = [process.execPath, mxAgent];
  const start = (words: string[], extra: Record<string, string> = {}) => {
    const running = new RunningCommand(words, { ...env, ...extra });
    spawned.add(running);
    void running.ended.then(() => spawned.delete(running));
    return running;
  };
  const machine: Machine = {
    name,
    home,
    account,
    user: `@${account}:${homeserver?.name ?? "localhost"}`,
    password,
    command,
    env,
    async run(args, options = {}) {
      const running = start([...command, ...args], options.env);
      running.child.stdin.end(options.stdin ?? "");
      return running.ended;
    },
    async ask(args, options) {
      const end = args.indexOf("--");
      const words = end === -1 ? [...args, "--json"] : [...args.slice(0, end), "--json", ...args.slice(end)];
      const { code, stdout, stderr } = await machine.run(words, options);
      if (code !== 0) throw new Error(`${name}: mx-agent ${args.join(" ")}: ${code}\n${stdout}${stderr}`);
      return JSON.parse(stdout);
    },
    spawn: (args, options = {}) => start([...command, ...args], options.env),
    spawnAtTerminal(args) {
      const line = `exec ${[...command, ...args].map(shellWord).join(" ")}`;
      return start(["script", "-qec", line, "/dev/null"], { TERM: "xterm", SHELL: "/bin/sh" });
    },
    async startDaemon() {
      await machine.ask(["daemon", "start"]);
    },
    async daemonPid() {
      const { pid } = await machine.ask<{ pid: number }>(["daemon", "status"]);
      return pid;
    },
    async login() {
      await machine.ask(
        ["auth", "login", "--homeserver", homeserver?.url ?? "", "--user", account, "--password-stdin"],
        {
          stdin: `${password}\n`,
        },
      );
    },
    async setPolicy(text) {
      const file = join(config, "policy.toml");
      await writeFile(file, text, { mode: 0o600 });
      await chmod(file, 0o600);
      const { policy } = await machine.ask<{ policy: { state: string; detail: string } }>([
        "daemon",
        "reload",
      ]);
      if (policy.state !== "ok") throw new Error(`policy: ${policy.state} ${policy.detail}`);
    },
    async close() {
      for (const running of spawned) running.signal("SIGKILL");
      await Promise.all([...spawned].map(({ ended }) => ended));
      await machine.run(["down"]);
      const left = await untilNothingRuns(home);
      if (!process.env.MX_TEST_KEEP) await rm(home, { recursive: true, force: true, maxRetries: 5 });
      if (left.length > 0) throw new Error(`${name}: left behind and ended now: ${left.join("; ")}`);
    },
  };
  return machine;
}

/** A machine whose daemon runs and is logged in. */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const machine = await newMachine(options);
  await machine.startDaemon();
  await machine.login();
  return machine;
}

/** Closes each of them, whatever becomes of the others; then fails where one of them did. */
export async function closeAll(machines: readonly (Machine | undefined)[]): Promise<void> {
  const closed = await Promise.allSettled(machines.map((machine) => machine?.close()));
  for (const end of closed) if (end.status === "rejected") throw end.reason;
}

/** How long what an orderly stop ends may take to be gone. */
const GONE_MS = 10_000;

/** Waits until no process of the home is left; the command lines of those that stayed, and had to be killed. */
async function untilNothingRuns(home: string): Promise<string[]> {
  for (let waited = 0; waited < GONE_MS && processesOf(home).length > 0; waited += 20)
    await new Promise((resolve) => setTimeout(resolve, 20));
  const left = processesOf(home);
  for (const { pid } of left) process.kill(pid, "SIGKILL");
  return left.map(({ command }) => command);
}

/** Those that have the home in their environment or their arguments, and still run. */
export function processesOf(home: string): { pid: number; command: string }[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .flatMap((pid) => {
      const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
      const belongs = command.includes(home) || read(`/proc/${pid}/environ`).includes(home);
      return belongs && isAlive(pid) ? [{ pid, command }] : [];
    });
}

/** Of a process that may end, or be somebody else's, at any moment. */
export function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** A real runner in a home of its own, and short words for what tests do with it. */
import { createHash } from "node:crypto";
import { chownSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { FileIdentity } from "@mx-agent/base";
import { eventually } from "../../../../scripts/eventually.ts";
import { type ReadableProgram, readableProgram } from "../../../../scripts/readable.ts";
import { type RunEnd, type RunnerClient, type RunSpec, type RunState, startRunner } from "../../src/index.ts";
import { childrenOf, processInfo, processTable } from "../../src/processes.ts";
import { signal } from "../../src/tree.ts";

export const entry = fileURLToPath(new URL("runner-process.ts", import.meta.url));

/** Runners are started by the hundred; compiled once, each is up three times as fast. */
const compileCache = fileURLToPath(new URL("../../../../.cache/node", import.meta.url));

export interface RunnerUser {
  /** Words before the command that starts the runner, for example setpriv and its options. */
  prefix: string[];
  uid: number;
}

export const self: RunnerUser = { prefix: [], uid: process.getuid?.() ?? -1 };

/** An ordinary user, where this process may become one. */
export const nobody: RunnerUser = {
  prefix: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"],
  uid: 65534,
};

export class TestRunner {
  readonly home = realpathSync(mkdtempSync(join(tmpdir(), "mx-runner-")));
  /** The directory that commands work in; beside the runner's own. */
  readonly project = realpathSync(mkdtempSync(join(tmpdir(), "mx-project-")));
  readonly dir = join(this.home, "data");
  readonly socket = join(this.home, "r.sock");
  readonly ends = new Map<string, RunEnd>();
  readonly #user: RunnerUser;
  readonly #env: Record<string, string>;
  readonly #waiting = new Map<string, () => void>();
  #client: RunnerClient | null = null;
  #readable: ReadableProgram | undefined;
  #runs = 0;

  constructor(user: RunnerUser = self, env: Record<string, string> = {}) {
    this.#user = user;
    this.#env = env;
    mkdirSync(this.dir, { mode: 0o700 });
    for (const path of [this.home, this.project, this.dir])
      if (user.uid !== self.uid) chownSync(path, user.uid, user.uid);
  }

  get client(): RunnerClient {
    if (this.#client === null) throw new Error("not connected");
    return this.#client;
  }

  async connect(env: Record<string, string> = this.#env): Promise<RunnerClient> {
    const client = await startRunner({
      command: [...this.#user.prefix, ...(await this.#program())],
      dir: this.dir,
      socket: this.socket,
      env: {
        ...process.env,
        ...(this.#user.uid === self.uid ? { NODE_COMPILE_CACHE: compileCache } : {}),
        ...env,
      },
    });
    client.on("ended", (run_id, end) => {
      this.ends.set(run_id, end);
      this.#waiting.get(run_id)?.();
    });
    this.#client = client;
    return client;
  }

  /** The sources, or for another user what that one may read of them. */
  async #program(): Promise<string[]> {
    if (this.#user.uid === self.uid) return [process.execPath, entry];
    this.#readable ??= await readableProgram(entry);
    return [this.#readable.node, this.#readable.file];
  }

  /** A spec with everything ordinary, but what is given. */
  spec(argv: string[], more: Partial<RunSpec> = {}): RunSpec {
    return {
      run_id: `run_${++this.#runs}`,
      executable: more.executable ?? identity(program(argv[0] ?? "")),
      argv,
      cwd: identity(this.project),
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/home/agent", LANG: "C.UTF-8" },
      sandbox: { backend: "none" },
      limits: {
        max_runtime_ms: 60_000,
        max_output_bytes: 1e9,
        max_memory_bytes: null,
        max_processes: null,
        max_file_bytes: null,
        max_cpu_seconds: null,
      },
      stdin: false,
      ...more,
    };
  }

  start(spec: RunSpec): Promise<RunState> {
    return this.client.start(spec);
  }

  /** Resolves when the run has ended, with its outcome. */
  async ended(run_id: string): Promise<RunEnd> {
    for (;;) {
      const end = this.ends.get(run_id);
      if (end !== undefined) return end;
      await new Promise<void>((resolve) => this.#waiting.set(run_id, resolve));
    }
  }

  async run(argv: string[], more: Partial<RunSpec> = {}): Promise<Finished> {
    const spec = this.spec(argv, more);
    await this.start(spec);
    const end = await this.ended(spec.run_id);
    return {
      ...end,
      run_id: spec.run_id,
      stdout: await this.text(spec.run_id, "stdout"),
      stderr: await this.text(spec.run_id, "stderr"),
    };
  }

  sh(script: string, more: Partial<RunSpec> = {}): Promise<Finished> {
    return this.run(["sh", "-c", script], more);
  }

  async bytes(run_id: string, stream: "stdout" | "stderr"): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for (let offset = 0; ; ) {
      const part = await this.client.read(run_id, stream, offset, 1024 * 1024);
      if (part.length === 0) return Buffer.concat(parts);
      parts.push(part);
      offset += part.length;
    }
  }

  async text(run_id: string, stream: "stdout" | "stderr"): Promise<string> {
    return (await this.bytes(run_id, stream)).toString("utf8");
  }

  /** Resolves when the spool of a run has this text in it. */
  async says(run_id: string, text: string): Promise<void> {
    await eventually(async () => (await this.text(run_id, "stdout")).includes(text));
  }

  get guard_pid(): number {
    return processInfo(this.client.pid)?.ppid ?? 0;
  }

  log(): string {
    return readFileSync(join(this.dir, "runner.log"), "utf8");
  }

  /** Ends the runner, and waits until it is gone. */
  async stop(): Promise<void> {
    const { pid } = this.client;
    const guard = this.guard_pid;
    await this.client.shutdown();
    await eventually(() => processInfo(pid) === null && (guard <= 1 || processInfo(guard) === null));
    this.#client = null;
  }

  /** Every runner of this directory that is still there; its guard ends what it ran, and then itself. */
  async #endRunners(): Promise<void> {
    await eventually(() => {
      const left = processesWith(this.dir);
      const inner = left.filter((pid) => left.includes(processInfo(pid)?.ppid ?? 0));
      // A runner without its guard, or the guard alone, is one too.
      for (const pid of inner.length > 0 ? inner : left) signal(pid, "SIGKILL");
      return left.length === 0;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#client !== null) {
      // A test that killed its runner has none to stop, and one that failed may have closed its connection.
      await this.stop().catch(() => undefined);
    }
    await this.#endRunners();
    this.#readable?.remove();
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
    rmSync(this.project, { recursive: true, force: true, maxRetries: 5 });
  }
}

export type Finished = RunEnd & { run_id: string; stdout: string; stderr: string };

export async function runner(user?: RunnerUser, env?: Record<string, string>): Promise<TestRunner> {
  const one = new TestRunner(user, env);
  await one.connect();
  return one;
}

export function identity(path: string): FileIdentity {
  const real = realpathSync(path);
  const { dev, ino } = statSync(real);
  return { path: real, dev, ino };
}

export function program(name: string): string {
  if (name.startsWith("/")) return name;
  for (const directory of ["/usr/local/bin", "/usr/bin", "/bin"])
    if (statSync(join(directory, name), { throwIfNoEntry: false }) !== undefined)
      return join(directory, name);
  throw new Error(`this machine has no ${name}`);
}

/** Pids whose command line has this word in it, this process left out. */
export function processesWith(word: string): number[] {
  const pids: number[] = [];
  for (const { pid, state } of processTable().values()) {
    if (pid === process.pid || state === "Z") continue;
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(word)) pids.push(pid);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
  }
  return pids;
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export { childrenOf };

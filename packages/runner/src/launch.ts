/** From a plan to a process: descriptors opened, compared and handed over; nothing else is inherited. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { closeSync, statSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import {
  GATE_FD,
  type MachineCapabilities,
  OPTIONS_FD,
  type PathKind,
  planSandbox,
  type SandboxPlan,
  STATUS_FD,
} from "@mx-agent/sandbox";
import type { RunSpec } from "./api.ts";
import type { RunGroup } from "./cgroup.ts";
import {
  checkExecutable,
  openChecked,
  openDirectory,
  realPathOf,
  StartFailure,
  systemCode,
} from "./identity.ts";
import type { Native } from "./native.ts";

/** Of a sandbox's own /tmp, HOME and /dev/shm, each; a tighter memory limit wins. */
const PRIVATE_BYTES = 1024 * 1024 * 1024;

export interface ChildExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Launched {
  pid: number;
  exited: Promise<ChildExit>;
  /** null: stdin is /dev/null. */
  stdin: Writable | null;
  stdout: Readable;
  stderr: Readable;
  /** What a launcher says about itself (bubblewrap's JSON); null where the command was spawned directly. */
  status: Readable | null;
  /** Lets a launcher's command begin; until then it waits. null where the command runs already. */
  open: (() => void) | null;
}

export interface LaunchMachine {
  native: Native | string;
  capabilities: MachineCapabilities;
  /** The runner's own places: no sandbox shows them, whatever the request lists. */
  hidden_paths: readonly string[];
  uid: number;
}

/**
 * Starts the process of a run. Throws StartFailure with the code that the run then ends with. `before` is
 * called right before the spawn; what it sets of this process is what the child inherits.
 */
export async function launch(
  spec: RunSpec,
  machine: LaunchMachine,
  group: RunGroup | null,
  before: () => void,
): Promise<Launched> {
  checkExecutable(spec.executable);
  if (spec.limits.max_file_bytes !== null && spec.sandbox.backend === "none")
    throw new StartFailure("LIMIT_UNAVAILABLE", "the size of files cannot be limited without a sandbox");
  const plan = plannedSandbox(spec, machine);
  const opened: number[] = [];
  const pipes = new Pipes(machine.native);
  try {
    const cwd = plan.cwd === "/" ? null : openDirectory(plan.cwd);
    if (cwd !== null) opened.push(cwd);
    for (const one of plan.opened) opened.push(openChecked(one.path, one.identity));
    const stdin = spec.stdin ? pipes.toChild() : null;
    const stdout = pipes.fromChild();
    const stderr = pipes.fromChild();
    const stdio: StdioOptions = [stdin?.child ?? "ignore", stdout.child, stderr.child];
    if (plan.options !== null) {
      stdio[OPTIONS_FD] = "pipe";
      stdio[STATUS_FD] = "pipe";
      stdio[GATE_FD] = "pipe";
      plan.opened.forEach((one, index) => {
        stdio[one.fd] = opened[index + (cwd === null ? 0 : 1)] ?? "ignore";
      });
    }
    before();
    const start = () =>
      spawn(plan.file, plan.argv.slice(1), {
        argv0: plan.argv[0] ?? plan.file,
        cwd: cwd === null ? "/" : process.platform === "linux" ? `/proc/self/fd/${cwd}` : spec.cwd.path,
        env: plan.env,
        stdio,
        // A session, and so a process group, of its own.
        detached: true,
      });
    const child = group === null ? start() : group.spawnInside(start);
    const exited = new Promise<ChildExit>((resolve) =>
      child.once("exit", (code, signal) => resolve({ code, signal })),
    );
    await started(child, spec);
    if (plan.options !== null) giveOptions(child, plan.options);
    return {
      pid: child.pid ?? 0,
      exited,
      stdin: stdin === null ? null : (stdin.ours ?? required(child.stdin)),
      stdout: stdout.ours ?? required(child.stdout),
      stderr: stderr.ours ?? required(child.stderr),
      status: plan.options === null ? null : readableOf(child.stdio[STATUS_FD]),
      open: plan.options === null ? null : gateOf(child),
    };
  } catch (error) {
    pipes.abandon();
    throw error;
  } finally {
    for (const fd of opened) closeSync(fd);
    pipes.release();
  }
}

function plannedSandbox(spec: RunSpec, machine: LaunchMachine): SandboxPlan {
  const request =
    spec.sandbox.backend === "none"
      ? spec.sandbox
      : {
          ...spec.sandbox,
          hidden_paths: [...new Set([...spec.sandbox.hidden_paths, ...machine.hidden_paths].map(realPathOf))],
        };
  const { HOME } = spec.env;
  const plan = planSandbox(request, {
    executable: spec.executable,
    argv: spec.argv,
    cwd: spec.cwd,
    // Where /home is a link, what would be in the way is at the end of it.
    env:
      spec.sandbox.backend !== "none" && HOME?.startsWith("/")
        ? { ...spec.env, HOME: realPathOf(HOME) }
        : spec.env,
    uid: machine.uid,
    capabilities: machine.capabilities,
    kindOf,
    private_bytes: Math.min(PRIVATE_BYTES, spec.limits.max_memory_bytes ?? PRIVATE_BYTES),
  });
  if ("refused" in plan) throw new StartFailure(plan.refused.code, plan.refused.message);
  return plan;
}

function kindOf(path: string): PathKind {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return "missing";
  return stats.isDirectory() ? "directory" : "file";
}

function started(child: ChildProcess, spec: RunSpec): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) =>
      reject(new StartFailure(systemCode(error), `${spec.executable.path}: ${error.message}`)),
    );
  });
}

function giveOptions(child: ChildProcess, options: string[]): void {
  const pipe = child.stdio[OPTIONS_FD];
  if (!(pipe instanceof Socket)) throw new StartFailure("EIO", "the launcher has no pipe for its options");
  // A launcher that ended before it read them says why through its status.
  pipe.on("error", () => pipe.destroy());
  pipe.end(options.map((option) => `${option}\0`).join(""));
}

function gateOf(child: ChildProcess): () => void {
  const pipes: readonly unknown[] = child.stdio;
  const gate = pipes[GATE_FD];
  if (!(gate instanceof Socket)) throw new StartFailure("EIO", "the launcher has no gate");
  // A launcher that ended before it was opened says why through its status.
  gate.on("error", () => gate.destroy());
  return () => gate.end("\n");
}

function readableOf(stream: unknown): Readable | null {
  return stream instanceof Socket ? stream : null;
}

interface PipeEnds {
  child: number | "pipe";
  /** null: Node makes the pipe, and the child object has our end. */
  ours: Socket | null;
}

/**
 * Real pipes where libc can be reached: Node's own are sockets, and a program that opens /dev/stdout or
 * /dev/stdin again cannot do that with a socket.
 */
class Pipes {
  readonly #native: Native | string;
  readonly #childEnds: number[] = [];
  readonly #ours: Socket[] = [];

  constructor(native: Native | string) {
    this.#native = native;
  }

  toChild(): PipeEnds {
    return this.#open((ends) => ({ child: ends.read, ours: ends.write }), {
      writable: true,
      readable: false,
    });
  }

  fromChild(): PipeEnds {
    return this.#open((ends) => ({ child: ends.write, ours: ends.read }), {
      readable: true,
      writable: false,
    });
  }

  /** Closes the child's ends; until then a stream's end would never come. */
  release(): void {
    for (const fd of this.#childEnds.splice(0)) closeSync(fd);
  }

  /** Closes ours, where there is no child to talk to. */
  abandon(): void {
    for (const socket of this.#ours.splice(0)) socket.destroy();
  }

  #open(
    sides: (ends: { read: number; write: number }) => { child: number; ours: number },
    direction: { readable: boolean; writable: boolean },
  ): PipeEnds {
    if (typeof this.#native === "string") return { child: "pipe", ours: null };
    const { child, ours } = sides(this.#native.pipe());
    this.#childEnds.push(child);
    const socket = new Socket({ fd: ours, ...direction });
    this.#ours.push(socket);
    return { child, ours: socket };
  }
}

function required<T>(stream: T | null): T {
  if (stream === null) throw new StartFailure("EIO", "a pipe of the child is missing");
  return stream;
}

/** A process as a policy's sandbox makes it, and nothing of ours around it. */
import { type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, realpathSync, statSync } from "node:fs";
import { Socket } from "node:net";
import { dirname } from "node:path";
import {
  GATE_FD,
  OPTIONS_FD,
  type PathKind,
  planSandbox,
  probeMachine,
  type SandboxPlan,
  type SandboxRequest,
  STATUS_FD,
} from "@mx-agent/sandbox";

export type Backend = SandboxRequest["backend"];

/** A function that runs `true` in that directory, in the sandbox that a run there gets, until its end. */
export async function bareSpawn(backend: Backend, directory: string): Promise<() => Promise<void>> {
  const cwd = identityOf(directory);
  const executable = identityOf("/bin/true");
  const plan = planSandbox(
    backend === "none"
      ? { backend }
      : { backend, network: "deny", writable_paths: [cwd.path], read_only_paths: [], hidden_paths: [] },
    {
      ...{
        executable,
        cwd,
        argv: ["true"],
        env: { HOME: dirname(cwd.path) },
        kindOf,
        private_bytes: 1 << 30,
      },
      uid: process.getuid?.() ?? 0,
      capabilities: await probeMachine(),
    },
  );
  if ("refused" in plan) throw new Error(plan.refused.message);
  return () => ended(plan);
}

async function ended({ file, argv, env, cwd, opened, options }: SandboxPlan): Promise<void> {
  const stdio: StdioOptions = ["ignore", "ignore", "ignore"];
  const fds = opened.map(({ path }) => openSync(path, "r"));
  opened.forEach(({ fd }, i) => {
    stdio[fd] = fds[i];
  });
  if (options) for (const fd of [OPTIONS_FD, STATUS_FD, GATE_FD]) stdio[fd] = "pipe";
  const child = spawn(file, argv.slice(1), {
    argv0: argv[0] ?? file,
    cwd: cwd === "/" ? cwd : cwd.path,
    ...{ env, stdio, detached: true },
  });
  for (const fd of fds) closeSync(fd);
  const pipes: readonly unknown[] = child.stdio;
  const [given, status, gate] = [pipes[OPTIONS_FD], pipes[STATUS_FD], pipes[GATE_FD]];
  if (status instanceof Socket) status.resume();
  if (given instanceof Socket) given.end((options ?? []).map((option) => `${option}\0`).join(""));
  if (gate instanceof Socket) gate.end("\n");
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`${file} ended with ${code}`);
}

function identityOf(path: string) {
  const real = realpathSync(path);
  const { dev, ino } = statSync(real);
  return { path: real, dev, ino };
}

function kindOf(path: string): PathKind {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return "missing";
  return stats.isDirectory() ? "directory" : "file";
}

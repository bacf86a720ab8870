/** The machine that scripts/test-systemd.sh makes: root in it, with systemd as init and mx-agent in /opt. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

export const program = "/opt/mx-agent/bin/mx-agent";

export interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

export function root(...argv: string[]): Ran {
  const [file = "", ...args] = argv;
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: "utf8" });
  return { status, stdout, stderr };
}

/** As `root`; an error when the status is not 0. */
export function must(...argv: string[]): string {
  const { status, stdout, stderr } = root(...argv);
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** An account with a mx-agent of its own. */
export interface Account {
  run(...argv: string[]): Ran;
  must(...argv: string[]): string;
  /** mx-agent with --json. */
  ask<T>(...args: string[]): T;
}

/** `prefix` is what makes root's command that account's. */
export function account(prefix: readonly string[]): Account {
  return {
    run: (...argv) => root(...prefix, ...argv),
    must: (...argv) => must(...prefix, ...argv),
    ask: (...args) => {
      const end = args.indexOf("--");
      const at = end === -1 ? args.length : end;
      return JSON.parse(must(...prefix, program, ...args.slice(0, at), "--json", ...args.slice(at)));
    },
  };
}

export async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (holds()) return;
    await wait(100);
  }
  throw new Error(`it never came true: ${what}`);
}

/** Pids whose command line has this in it. */
export const processesWith = (text: string): number[] =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && commandLine(pid).includes(text));

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}

/** Lets this account run what the tests run, within small limits. */
export function policyFor(room: string, user: string, cwd: string): string {
  return `version = 1
[execution]
sandbox = "bubblewrap"
max_memory_bytes = 83886080
max_processes = 40
[rooms."${room}"]
trusted = true
[rooms."${room}".agents."${user}"]
allow_exec = true
allow_commands = ["sh", "sleep"]
allow_cwd = ["${cwd}"]
`;
}

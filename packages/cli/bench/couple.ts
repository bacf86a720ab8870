/** Two daemons on a homeserver of a kind, a client that stays connected, and what their processes take. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type IpcClient } from "@mx-agent/ipc/client";
import { type HomeserverKind, startHomeserverForTests } from "../../../scripts/homeservers.ts";
import type { Machine } from "../test/support/machine.ts";
import {
  policyFor,
  type TwoDaemons,
  type TwoDaemonsOptions,
  twoDaemons,
} from "../test/support/two-daemons.ts";
import { timeOf } from "./timed.ts";

export type Couple = TwoDaemons & AsyncDisposable;

export interface CoupleOptions extends Omit<TwoDaemonsOptions, "homeserver"> {
  kind: HomeserverKind;
  defaultRateLimits?: boolean;
}

export async function couple({ kind, defaultRateLimits = false, ...rest }: CoupleOptions): Promise<Couple> {
  const homeserver = await startHomeserverForTests({ kind, defaultRateLimits });
  try {
    const they = await twoDaemons({ homeserver, ...rest });
    return {
      ...they,
      async [Symbol.asyncDispose]() {
        await they.close();
        await homeserver.close();
      },
    };
  } catch (error) {
    await homeserver.close();
    throw error;
  }
}

/** `mx-agent exec -- true` from the start of the program to its end, milliseconds. */
export function wholeProgram({ laptop, room, project }: TwoDaemons): Promise<number> {
  const target = ["--room", room, "--agent", "builder", "--cwd", project];
  return timeOf([...laptop.command, "exec", ...target, "--", "true"], laptop.env);
}

/** Everyday commands, and as many of them at once as one likes. */
export function widePolicy(room: string, user: string, project: string): string {
  const commands = ["cat", "echo", "sh", "sleep", "true", "wc"];
  return `${policyFor(room, user, commands, project)}max_concurrent = 200\n`;
}

/** How long a command took, milliseconds, when its first output came, on performance's clock, and how much came. */
export interface Executed {
  ms: number;
  first_at: number | undefined;
  bytes: number;
}

export class WarmClient implements Disposable {
  readonly #client: IpcClient;
  readonly #they: TwoDaemons;

  private constructor(client: IpcClient, they: TwoDaemons) {
    this.#client = client;
    this.#they = they;
  }

  static async of(they: TwoDaemons): Promise<WarmClient> {
    const socket = join(they.laptop.home, "runtime", "agent.sock");
    return new WarmClient(await connect({ socket, version: "0.1.0" }), they);
  }

  /** One command on the builder to its end; throws where that is another one, or its output not whole. */
  async exec(command: string[], stdin?: AsyncIterable<Uint8Array>): Promise<Executed> {
    const { room, project: cwd } = this.#they;
    const target = { room, agent: "builder", cwd };
    const start = performance.now();
    const call = this.#client.call("exec.run", {
      ...{ ...target, command, env: {}, timeout_ms: null, stdin: stdin !== undefined, detach: false },
    });
    const feeding = (async () => {
      if (!stdin) return;
      for await (const data of stdin)
        await call.send({ type: "stdin", data: Buffer.from(data).toString("base64") });
      await call.send({ type: "eof" });
    })();
    let bytes = 0;
    let first_at: number | undefined;
    for await (const item of call.output) {
      if (item.type !== "chunk") continue;
      first_at ??= performance.now();
      bytes += Buffer.byteLength(item.data, "base64");
    }
    await feeding;
    const end = await call.result;
    const ms = performance.now() - start;
    if (end.type !== "finished" || end.result.exit_code !== 0 || end.result.complete !== true)
      throw new Error(JSON.stringify(end));
    return { ms, first_at, bytes };
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** What a process takes: megabytes, seconds of processor time, and how often it was woken, all since its start. */
export interface Usage {
  rss_mb: number;
  cpu_s: number;
  wakeups: number;
}

const TICKS = 100;

export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // proc_pid_stat(5): utime and stime are the 14th and 15th, the name in parentheses is the second.
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13)
    .map(Number);
  const wakeups = readdirSync(`/proc/${pid}/task`)
    .map((task) => field(`/proc/${pid}/task/${task}/status`, "voluntary_ctxt_switches"))
    .reduce((sum, one) => sum + one, 0);
  return {
    rss_mb: (field(`/proc/${pid}/status`, "VmRSS") * 1024) / 1e6,
    cpu_s: (user + system) / TICKS,
    wakeups,
  };
}

/** Pids of a machine's daemon and of its runner. */
export async function pidsOf(machine: Machine): Promise<{ daemon: number; runner: number }> {
  const status = await machine.ask<{ pid: number; runner: { pid: number | null } }>(["daemon", "status"]);
  if (status.runner.pid === null) throw new Error(`${machine.name} has no runner`);
  return { daemon: status.pid, runner: status.runner.pid };
}

function field(file: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(file, "utf8"))?.[1] ?? Number.NaN);
}

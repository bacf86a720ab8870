import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Handlers } from "@mx-agent/ipc";
import { serve } from "@mx-agent/ipc/server";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurnsUntilDecided } from "../../../scripts/bench/sampling.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { handlers, me } from "../../ipc/test/support/lapitest.ts";
import { mxAgent } from "../test/support/machine.ts";
import { timeOf } from "./timed.ts";

export const name = "cli-start";
export const description =
  "From the start of the built program to its end: a question to a running daemon, and what exec adds of its own, with a daemon that answers at once";

/** What exec may take beside a question, milliseconds. */
const OWN_MS = 25;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  const [home, quick] = [await newHome(), await newHome()];
  const program = [process.execPath, mxAgent];
  const env = (at: string) => ({ PATH: process.env.PATH, HOME: at, MX_AGENT_HOME: at });
  const server = await serve({
    sockets: { daemon: join(quick, "runtime", "daemon.sock"), agent: join(quick, "runtime", "agent.sock") },
    handlers: handlers({ "exec.run": atOnce }),
    version: "0.1.0",
    peerOf: () => ({ uid: me, pid: process.pid }),
    refusePid: () => false,
    onError: () => {},
  });
  try {
    await timeOf([...program, "daemon", "start"], env(home));
    const exec = ["exec", "--room", "r", "--agent", "a", "--", "true"];
    const n = Math.max(20, Math.round(200 * scale));
    return await inTurnsUntilDecided(
      {
        node: () => timeOf([process.execPath, "-e", "0"], env(home)),
        status: () => timeOf([...program, "daemon", "status"], env(home)),
        exec: () => timeOf([...program, ...exec], env(quick)),
      },
      { n, atMost: 5 * n, warm: 5, say },
      rowsOf,
    );
  } finally {
    await timeOf([...program, "daemon", "stop"], env(home));
    await server.close({ grace_ms: 0 });
    for (const at of [home, quick]) await rm(at, { recursive: true, force: true });
  }
}

function rowsOf(samples: Record<"node" | "status" | "exec", number[]>): Row[] {
  const withOwn = samples.status.map((ms) => ms + OWN_MS);
  return [
    compared(
      {
        what: "daemon status",
        against: `node -e 0, ${median(samples.node).toFixed(1)} ms`,
        unit: "ms",
        aim: "at most 1.6 ×",
        must: { atMost: 1.6 },
      },
      samples.status,
      samples.node,
    ),
    compared(
      {
        what: "exec, without the daemon's part",
        against: `daemon status + ${OWN_MS} ms, ${median(withOwn).toFixed(1)} ms`,
        unit: "ms",
        aim: "at most 1 ×",
        must: { atMost: 1 },
      },
      samples.exec,
      withOwn,
    ),
  ];
}

async function newHome(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "mx-start-"));
  await mkdir(join(home, "runtime"), { mode: 0o700 });
  return home;
}

const atOnce: Handlers["exec.run"] = {
  parse: (params) => params as never,
  parseInput: (item) => item as never,
  handle: async (_, { send }) => {
    await send({ type: "requested", invocation_id: "inv_1", request_id: "req_1" });
    return {
      type: "finished",
      invocation_id: "inv_1",
      result: {
        ...{ outcome: "exited", exit_code: 0, signal: null, duration_ms: 1 },
        ...{ stdout_bytes: 0, stderr_bytes: 0, truncated: false, complete: true },
      },
    };
  },
};

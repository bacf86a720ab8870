/** The command line in this process, against a daemon that answers as the test says. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CallContext, ExecOutput, Handlers, InvocationResult } from "@mx-agent/ipc";
import { type IpcServer, serve } from "@mx-agent/ipc/server";
import { afterEach, beforeEach } from "vitest";
import { handlers, me } from "../../../ipc/test/support/lapitest.ts";
import { run } from "../../src/run.ts";
import { type FakeCli, fakeCli } from "./fake-cli.ts";

/** Where the command line looks for its daemon. */
export let home: string;
/** Those that are closed when the test ends. */
export const servers = new Set<IpcServer>();
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "mx-cli-"));
  await mkdir(join(home, "runtime"), { mode: 0o700 });
});
afterEach(async () => {
  for (const server of servers) await server.close({ grace_ms: 0 });
  servers.clear();
  await rm(home, { recursive: true });
});

/** A daemon that answers as the test says, on the real sockets of this home. */
export async function daemon(some: Partial<Handlers>): Promise<IpcServer> {
  const server = await serve({
    sockets: socketsOf(home),
    handlers: handlers(some),
    version: "0.0.1",
    peerOf: () => ({ uid: me, pid: process.pid }),
    refusePid: () => false,
    onError: () => {},
  });
  servers.add(server);
  return server;
}

const socketsOf = (at: string) => ({
  daemon: join(at, "runtime", "daemon.sock"),
  agent: join(at, "runtime", "agent.sock"),
});

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

export async function mx(words: string[], stdin?: string): Promise<Ended> {
  return end(words, fakeCli({ env: { MX_AGENT_HOME: home }, ...(stdin === undefined ? {} : { stdin }) }));
}

export async function end(words: string[], fake: FakeCli): Promise<Ended> {
  const code = await run(words, fake.cli);
  return { code, stdout: fake.stdout(), stderr: fake.stderr() };
}

export const exec = ["exec", "--room", "r", "--agent", "a"];
export const requested: ExecOutput = { type: "requested", invocation_id: "inv_1", request_id: "req_1" };
export const chunk = (data: string, stream: "stdout" | "stderr" = "stdout"): ExecOutput => ({
  type: "chunk",
  stream,
  data: Buffer.from(data).toString("base64"),
});
export const finished: InvocationResult = {
  ...{ outcome: "exited", exit_code: 0, signal: null, duration_ms: 10 },
  ...{ stdout_bytes: 0, stderr_bytes: 0, truncated: false, complete: true },
};

/** An `exec.run` that says these things and then ends. */
export function execHandler(
  items: ExecOutput[],
  result: Partial<InvocationResult> = {},
): Handlers["exec.run"] {
  return {
    parse: (params) => params as never,
    parseInput: (item) => item as never,
    handle: async (_, { send }: CallContext<"exec.run">) => {
      for (const item of [requested, ...items]) await send(item);
      return { type: "finished", invocation_id: "inv_1", result: { ...finished, ...result } };
    },
  };
}

export const resumeHandler: Pick<Handlers["exec.resume"], "parse" | "parseInput"> = {
  parse: (params) => params as never,
  parseInput: (item) => item as never,
};

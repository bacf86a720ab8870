/** A daemon that answers as a test says, on the real sockets of a home, and the command line beside it. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DaemonStatus, Handlers, MethodName, Params, Result } from "@mx-agent/ipc";
import { type IpcServer, serve } from "@mx-agent/ipc/server";
import { handlers, me } from "../../../ipc/test/support/lapitest.ts";
import { run } from "../../src/run.ts";
import { fakeCli } from "./fake-cli.ts";

export interface Home {
  dir: string;
  env: NodeJS.ProcessEnv;
  /** Serves these methods; every other one is refused. */
  daemon(some: Answers): Promise<void>;
  mx(words: string[], screen?: Screen): Promise<{ code: number; stdout: string; stderr: string }>;
  close(): Promise<void>;
}

/** What a person sees it on; without one there is no terminal. */
export interface Screen {
  columns: number;
}

type Answers = { [M in MethodName]?: (params: Params<M>) => Promise<Result<M>> | Result<M> };

export async function home(): Promise<Home> {
  const dir = await mkdtemp(join(tmpdir(), "mx-home-"));
  for (const name of ["config", "data", "runtime"]) await mkdir(join(dir, name), { mode: 0o700 });
  const env = { PATH: process.env.PATH, HOME: dir, MX_AGENT_HOME: dir };
  const servers: IpcServer[] = [];
  return {
    dir,
    env,
    async daemon(some) {
      const table = Object.fromEntries(
        Object.entries(some).map(([method, answer]) => [
          method,
          { parse: (params: unknown) => params, handle: async (params: never) => answer(params) },
        ]),
      );
      servers.push(
        await serve({
          sockets: { daemon: join(dir, "runtime", "daemon.sock"), agent: join(dir, "runtime", "agent.sock") },
          handlers: handlers(table as Partial<Handlers>),
          version: "0.0.1",
          peerOf: () => ({ uid: me, pid: process.pid }),
          refusePid: () => false,
          onError: () => {},
        }),
      );
    },
    async mx(words, screen) {
      const fake = fakeCli({ env });
      if (screen !== undefined)
        for (const stream of [fake.cli.stdout, fake.cli.stderr])
          Object.assign(stream, { isTTY: true, columns: screen.columns });
      const code = await run(words, fake.cli);
      return { code, stdout: fake.stdout(), stderr: fake.stderr() };
    },
    async close() {
      for (const server of servers) await server.close({ grace_ms: 0 });
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A daemon with which all is well, but for what is given. */
export function statusOf(dir: string, other: Partial<DaemonStatus> = {}): DaemonStatus {
  return {
    pid: 4711,
    version: "0.0.1",
    started_at: "2026-01-01T00:00:00.000Z",
    uptime_ms: 60_000,
    sockets: { daemon: join(dir, "runtime", "daemon.sock"), agent: join(dir, "runtime", "agent.sock") },
    account: { user_id: "@me:example.org", device_id: "DEVICE", homeserver: "https://matrix.example.org" },
    sync: { state: "healthy", detail: null, retry_in_ms: null, last_sync_at: new Date().toISOString() },
    policy: { state: "ok", file: join(dir, "config", "policy.toml"), detail: null },
    runner: { state: "running", pid: 4712 },
    running_invocations: 0,
    outbox_depth: 0,
    dropped_results: 0,
    undecryptable: 0,
    warnings: [],
    ...other,
  };
}

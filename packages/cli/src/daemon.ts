/** How a command reaches the daemon: the agents' socket for what agents may, the operator's for the rest. */
import { MxError, mxError } from "@mx-agent/base";
import type { ActiveCall, MethodName, Params, Result } from "@mx-agent/ipc";
import { type IpcClient, methodRoles, open } from "@mx-agent/ipc/client";
import type { Cli } from "./cli.ts";
import { isSetUp, sockets } from "./places.ts";
import { withProgress } from "./progress.ts";
import { trace } from "./verbose.ts";

/** A connection to the socket that serves the method. */
export async function daemonFor(cli: Cli, method: MethodName): Promise<IpcClient> {
  const socket = methodRoles[method] === "agent" ? sockets(cli.env).agent : sockets(cli.env).daemon;
  await trace(cli, `${method}: asking at ${socket}`);
  try {
    return await open({ socket, version: cli.version });
  } catch (error) {
    throw notSetUp(cli, error);
  }
}

/** To who has just installed it, a daemon that can be started is not what is missing. */
function notSetUp(cli: Cli, error: unknown): unknown {
  if (!(error instanceof MxError) || error.code !== "MX_DAEMON_UNREACHABLE") return error;
  if (isSetUp(cli.env)) return error;
  const hint =
    "nothing is set up here yet: `mx-agent up`, or `mx-agent join LINK` with a link of another machine; by hand, `mx-agent daemon start`";
  return new MxError({ ...error.toJSON(), hint }, error);
}

/** Of a clock that, unlike `performance`, costs no milliseconds itself. */
const since = (started: bigint) => `${(process.hrtime.bigint() - started) / 1_000_000n} ms`;

/** One question, one answer. SIGINT ends the waiting with MX_CANCELLED. */
export async function ask<M extends MethodName>(cli: Cli, method: M, params: Params<M>): Promise<Result<M>> {
  return withProgress(
    cli,
    `waiting: ${method.replace(".", " ")}`,
    withCall(cli, method, params, (call) => call.result),
  );
}

/** A call whose streams the caller uses; the connection is closed afterwards. */
export async function withCall<M extends MethodName, T>(
  cli: Cli,
  method: M,
  params: Params<M>,
  use: (call: ActiveCall<M>) => Promise<T>,
): Promise<T> {
  const daemon = await daemonFor(cli, method);
  const started = process.hrtime.bigint();
  const interrupted = Promise.withResolvers<never>();
  const off = cli.onSignal(() => interrupted.reject(mxError("MX_CANCELLED")));
  try {
    return await Promise.race([use(daemon.call(method, params)), interrupted.promise]);
  } finally {
    off();
    daemon.close();
    const { version, pid } = daemon.daemon;
    await trace(cli, `${method}: done by mx-agent ${version} (pid ${pid}) in ${since(started)}`);
  }
}

/** Where the question is whether it runs, a daemon that is not there is an answer (3), not a failure (69). */
export function notRunning(error: unknown): unknown {
  if (!(error instanceof MxError) || error.code !== "MX_DAEMON_UNREACHABLE") return error;
  return mxError("MX_NOT_RUNNING", { what: "the daemon", hint: error.hint }, { cause: error });
}

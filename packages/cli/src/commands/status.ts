import { MxError } from "@mx-agent/base";
import type { MethodName, Params, Result } from "@mx-agent/ipc";
import { answer, type JsonFlag } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask, notRunning } from "../daemon.ts";
import { type MachineStatus, problemsOf, renderStatus } from "../render/status.ts";
import { type Define, describe } from "../verb.ts";

/** Enough for what runs and what waits; more is `invocation list`. */
const INVOCATIONS = 1000;

export const define: Define = (command, cli) => {
  describe(command, {
    summary: "this machine on one screen: workspaces, agents, what runs, what waits, what is wrong",
    example: "status",
    more: "Asks the agents that are trusted here whether they are there. Exit status 3 when the daemon does not run.",
  }).action(async (flags: JsonFlag) => {
    const status = await look(cli);
    await answer(cli, flags, status, (value, columns) => renderStatus(value, cli, columns));
  });
};

async function look(cli: Cli): Promise<MachineStatus> {
  const daemon = await ask(cli, "daemon.status", {}).catch((error: unknown) => {
    throw notRunning(error);
  });
  const [workspaces, agents, invocations] = await Promise.all([
    orNothing(cli, "workspace.list", {}),
    orNothing(cli, "agent.list", { room: null, ping: true }),
    orNothing(cli, "invocation.list", { side: null, running: true, limit: INVOCATIONS }),
  ]);
  const status = {
    daemon,
    workspaces: workspaces.filter(({ membership }) => membership !== "leave"),
    agents,
    running: invocations.filter(({ state }) => state !== "held"),
    waiting: invocations.filter(({ state }) => state === "held"),
  };
  return { ...status, problems: problemsOf(status, cli.version) };
}

/** Without a login, or without a session, there is nothing to list; the daemon's own state says why. */
async function orNothing<M extends MethodName>(
  cli: Cli,
  method: M,
  params: Params<M>,
): Promise<Result<M> | never[]> {
  try {
    return await ask(cli, method, params);
  } catch (error) {
    if (error instanceof MxError && (error.code === "MX_NOT_LOGGED_IN" || error.code === "MX_NOT_RUNNING"))
      return [];
    throw error;
  }
}

/** `down`: stops what `up` started, from the inside out; with `purge` removes it. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { MxError, mxError } from "@mx-agent/base";
import { note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { directories } from "../places.ts";
import { confirm } from "../prompt.ts";
import { pairs } from "../render/table.ts";
import { loginLine, logOut, type RemovedLogin, silentLogin } from "./log-out.ts";
import { doing } from "./progress.ts";
import { readRecord, remember, type SetupRecord } from "./record.ts";
import { whereItRuns } from "./where-it-runs.ts";

export interface DownResult {
  /** The daemon's process; null where none ran. */
  daemon: number | null;
  /** Commands that go on under the runner, and those that were ended: invocations, or runs where no daemon names them. */
  running: string[];
  cancelled: string[];
  homeserver: boolean;
  tunnel: boolean;
  /**
   * The login that was removed, and whether its homeserver knows: else the device stays logged in there. Its names are null
   * where no daemon could be asked; null where nothing was logged in, and where the homeserver itself was removed.
   */
  login: RemovedLogin | null;
  /** Directories. */
  removed: string[];
}

const CANCEL_MS = 30_000;
const LOOK_MS = 50;

export async function takeDown(
  cli: Cli,
  flags: { cancel?: boolean; purge?: boolean; yes?: boolean },
): Promise<DownResult> {
  const dirs = directories(cli.env);
  const places = [...new Set([dirs.config, dirs.data, dirs.runtime])];
  const record = recordOf(cli, flags.purge === true);
  if (flags.purge && !flags.yes) await agreed(cli, places, record);
  const before = await running(cli);
  const ends = flags.cancel || flags.purge ? [...before] : [];
  if (ends.length > 0) await cancel(cli, ends);
  const login = flags.purge ? await logOut(cli, record) : null;
  const { stopDaemon } = await import("../background/daemon.ts");
  await doing(cli, "stopping the daemon");
  const daemon = await stopDaemon(cli);
  if (flags.cancel || flags.purge) ends.push(...((await whereItRuns(endRuns(dirs.runtime))) ?? []));
  const { stopTunnel } = await import("../background/tunnel.ts");
  const tunnel = record.tunnel !== undefined && stopTunnel(record.tunnel);
  if (record.tunnel !== undefined && !flags.purge) remember(cli.env, { tunnel: undefined });
  const homeserver = record.embedded !== undefined && (await stopEmbedded(record.embedded.data));
  if (flags.purge) for (const place of places) await rm(place, { recursive: true, force: true });
  return {
    daemon,
    running: before.filter((id) => !ends.includes(id)),
    cancelled: ends,
    homeserver,
    tunnel,
    login,
    removed: flags.purge ? places : [],
  };
}

/** A record that cannot be read is no reason not to remove it. */
function recordOf(cli: Cli, purge: boolean): SetupRecord {
  try {
    return readRecord(cli.env);
  } catch (error) {
    if (purge && error instanceof MxError && error.code === "MX_STORE_DAMAGED") return {};
    throw error;
  }
}

async function agreed(cli: Cli, places: string[], record: SetupRecord): Promise<void> {
  await note(cli, `This removes, for good:\n${places.map((place) => `  ${place}`).join("\n")}`);
  await note(cli, "with this machine's keys, approvals, policy and audit log.");
  if (record.embedded)
    await note(cli, "The embedded homeserver goes with it: everybody's accounts and rooms.");
  const made = (record.accounts ?? []).map(({ user, homeserver }) => `${user} at ${homeserver}`);
  if (made.length > 0) await note(cli, `The passwords that were made here go with it: ${made.join(", ")}.`);
  if ((await whereItRuns(ask(cli, "daemon.status", {}))) === undefined && silentLogin(cli, record))
    await note(
      cli,
      "No daemon runs that could log out: the homeserver would go on to know this device. Start it before, with `mx-agent daemon start`.",
    );
  if (!cli.stdin.isTTY)
    throw mxError("MX_USAGE", {
      detail: "no terminal to ask whether to remove that; give --yes",
      command: "down",
    });
  if (!(await confirm(cli, "Remove all of it?"))) throw mxError("MX_DECLINED");
}

/** Invocations that run on this machine; none where no daemon answers. */
async function running(cli: Cli): Promise<string[]> {
  const found = await whereItRuns(
    ask(cli, "invocation.list", { side: "executor", running: true, limit: 1_000 }),
  );
  return (found ?? []).map(({ invocation_id }) => invocation_id);
}

async function cancel(cli: Cli, ids: string[]): Promise<void> {
  await doing(cli, `ending ${ids.length} commands`);
  for (const invocation_id of ids) await ask(cli, "run.cancel", { invocation_id });
  await untilEnded(ids, () => running(cli));
}

/** What a runner goes on with after its daemon, and the runner; the ids of the runs. MX_NOT_RUNNING where there is none. */
async function endRuns(runtime: string): Promise<string[]> {
  const { connectRunner } = await import("@mx-agent/runner");
  const runner = await connectRunner(join(runtime, "runner.sock"));
  try {
    const look = async () =>
      (await runner.list()).filter(({ end }) => end === null).map(({ run_id }) => run_id);
    const ids = await look();
    for (const id of ids) await runner.cancel(id);
    await untilEnded(ids, look);
    await runner.shutdown();
    return ids;
  } finally {
    runner.close();
  }
}

async function untilEnded(ids: readonly string[], look: () => Promise<string[]>): Promise<void> {
  for (let waited = 0; waited < CANCEL_MS; waited += LOOK_MS) {
    const left = await look();
    if (!ids.some((id) => left.includes(id))) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw mxError("MX_TIMED_OUT", { what: "ending the commands that run here", seconds: CANCEL_MS / 1000 });
}

async function stopEmbedded(data: string): Promise<boolean> {
  const { stopHomeserver } = await import("@mx-agent/homeserver");
  return stopHomeserver(data);
}

export function renderDown(result: DownResult): string {
  const { daemon, running: left, cancelled, homeserver, tunnel, login, removed } = result;
  return pairs([
    ["daemon", daemon === null ? "was not running" : `stopped (pid ${daemon})`],
    ["go on under the runner", left.length === 0 ? null : left.join(", ")],
    ["ended", cancelled.length === 0 ? null : cancelled.join(", ")],
    ["homeserver", homeserver ? "stopped" : null],
    ["tunnel", tunnel ? "closed" : null],
    ["login", login && loginLine(login)],
    ["removed", removed.length === 0 ? null : removed.join(", ")],
  ]);
}

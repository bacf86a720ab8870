import type { DaemonStatus } from "@mx-agent/ipc";
import type { Cli } from "../cli.ts";
import { type Colour, painter } from "./style.ts";
import { pairs } from "./table.ts";
import { ago, duration } from "./time.ts";

const syncColours: Record<DaemonStatus["sync"]["state"], Colour> = {
  healthy: "green",
  degraded: "yellow",
  rate_limited: "yellow",
  stopped: "red",
  logged_out: "red",
};

export function renderDaemonStatus(status: DaemonStatus, cli: Cli): string {
  const paint = painter(cli.stdout, cli.env);
  const head = paint("bold", `running (pid ${status.pid}, mx-agent ${status.version})`);
  const loggedOut = status.sync.state === "logged_out";
  const body = pairs([
    ["up", duration(status.uptime_ms)],
    [
      "account",
      status.account
        ? `${status.account.user_id} on ${status.account.homeserver}${loggedOut ? " (logged out)" : ""}`
        : "not logged in",
    ],
    ["device", status.account?.device_id ?? null],
    ["sync", sync(status.sync)],
    ["policy", policy(status.policy)],
    ["runner", status.runner.state === "running" ? `running (pid ${status.runner.pid})` : "not started"],
    ["running invocations", String(status.running_invocations)],
    ["waiting to be sent", String(status.outbox_depth)],
    ["dropped results", status.dropped_results > 0 ? String(status.dropped_results) : null],
    ["not decrypted yet", status.undecryptable > 0 ? String(status.undecryptable) : null],
    ["operator's socket", status.sockets.daemon],
    ["agents' socket", status.sockets.agent],
  ]);
  const warnings = status.warnings.map((warning) => `\n${paint("yellow", `warning: ${warning}`)}`);
  const coloured = body.replace(/^(sync: +)(\w+)/m, (_, name: string, state: string) => {
    return name + paint(syncColours[status.sync.state], state);
  });
  return `${head}\n${coloured}${warnings.join("")}`;
}

function sync({ state, detail, retry_in_ms, last_sync_at }: DaemonStatus["sync"]): string {
  const parts = [state.replace("_", "-")];
  if (retry_in_ms !== null) parts.push(`for ${duration(retry_in_ms)}`);
  if (detail !== null) parts.push(`(${detail})`);
  if (last_sync_at !== null) parts.push(`last ${ago(Date.parse(last_sync_at), Date.now())}`);
  return parts.join(" ");
}

function policy({ state, file, detail }: DaemonStatus["policy"]): string {
  if (state === "ok") return `ok (${file})`;
  if (state === "missing") return `none: everything is denied (${file})`;
  return `invalid, everything is denied: ${detail ?? file}`;
}

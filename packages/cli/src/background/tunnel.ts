/** A tunnel to the embedded homeserver by cloudflared, which has to be installed: a process that outlives us. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mxError } from "@mx-agent/base";
import type { Cli } from "../cli.ts";
import { directories } from "../places.ts";
import { readRecord, remember, type SetupRecord } from "../setup/record.ts";
import { isAlive } from "./alive.ts";
import { closeInherited } from "./descriptors.ts";
import { withoutPassword } from "./environment.ts";
import { sizeOf, textFrom } from "./log-file.ts";

const PROGRAM = "cloudflared";
const OPEN_MS = 60_000;
const LOOK_MS = 50;
/** What cloudflared prints for a tunnel without an account. */
const ADDRESS = /https:\/\/[a-z0-9-]+\.trycloudflare\.com/;

/** The tunnel that is open, or a new one; its address is then what guests are given. */
export async function ensureTunnel(cli: Cli, url: string): Promise<{ url: string; started: boolean }> {
  const known = readRecord(cli.env).tunnel;
  if (known && isTunnel(known.pid)) return { url: known.url, started: false };
  const file = join(directories(cli.env).data, "tunnel.log");
  const from = (await sizeOf(file)) ?? 0;
  closeInherited();
  const log = openSync(file, "a", 0o600);
  const child = spawn(PROGRAM, ["tunnel", "--no-autoupdate", "--url", url], {
    detached: true,
    stdio: ["ignore", log, log],
    env: withoutPassword(cli.env),
  });
  closeSync(log);
  let ended: string | undefined;
  child.once("error", (error) => {
    ended = "code" in error && error.code === "ENOENT" ? "it is not installed" : error.message;
  });
  child.once("exit", (code) => {
    ended ??= `it ended with status ${code}; its log is ${file}`;
  });
  for (let waited = 0; waited < OPEN_MS && ended === undefined; waited += LOOK_MS) {
    const [address] = ADDRESS.exec(await textFrom(file, from)) ?? [];
    if (address !== undefined && child.pid !== undefined) {
      remember(cli.env, { tunnel: { pid: child.pid, url: address }, public_url: address });
      child.unref();
      return { url: address, started: true };
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  child.kill();
  throw mxError(
    "MX_NOT_FOUND",
    { what: "tunnel by cloudflared", name: ended ?? `no address within ${OPEN_MS / 1000} s` },
    { hint: "install cloudflared, or put a proxy with TLS in front and say --url https://..." },
  );
}

/** Closes it; false where it is not open any more. */
export function stopTunnel({ pid }: NonNullable<SetupRecord["tunnel"]>): boolean {
  if (!isTunnel(pid)) return false;
  // It leads a group of its own: what it started goes with it.
  process.kill(-pid, "SIGTERM");
  return true;
}

/** The number may be another process's by now. */
function isTunnel(pid: number): boolean {
  if (!isAlive(pid)) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(PROGRAM);
  } catch {
    // Where there is no /proc it cannot be known, and somebody else's process must not be ended.
    return false;
  }
}

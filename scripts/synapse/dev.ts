/**
 * The development homeserver: what scripts/matrix_dev.sh runs.
 *
 *   up | down | reset | status | register NAME
 *
 * MX_DEV_HOMESERVER is `embedded` (the default), `synapse`, `federation` (two Synapses that federate) or `docker`;
 * with the last one MX_DEV_IMAGE is `tuwunel` (the default) or `synapse`. MX_DEV_PORT is the port on 127.0.0.1, 8008 by
 * default; the second of two has the next one. MX_DEV_DIR is where it keeps its data and its log, .cache/matrix-dev here.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type HomeserverKind, startHomeserverForTests } from "../homeservers.ts";
import { root } from "../tasks.ts";
import { startFederation } from "./federation.ts";

interface Running {
  pid: number;
  url: string;
}

const kind = process.env.MX_DEV_HOMESERVER ?? "embedded";
const image = process.env.MX_DEV_IMAGE ?? "tuwunel";
const port = Number(process.env.MX_DEV_PORT ?? 8008);
const url = `http://127.0.0.1:${port}`;
const home = join(process.env.MX_DEV_DIR ?? join(root, ".cache", "matrix-dev"), kind);
const runningFile = join(home, "running.json");
const logFile = join(home, "log");
const registrationToken = "matrix-dev";
/** From a server's own port to the one that others find it by: 8008 and 8448. */
const FEDERATION_OFFSET = 440;

const [verb = "", name] = process.argv.slice(2);
try {
  await act(verb);
} catch (error) {
  process.stderr.write(`matrix_dev.sh: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function act(what: string): Promise<void> {
  if (what === "serve") return serve();
  if (what === "up") return kind === "docker" ? compose("up", "-d") : up();
  if (what === "down") return kind === "docker" ? compose("down") : down();
  if (what === "reset") return reset();
  if (what === "status") return status();
  if (what === "register" && name !== undefined) return register(name);
  throw new Error("usage: matrix_dev.sh up|down|reset|status|register NAME");
}

/** The process that owns the homeserver, in the background, until SIGTERM. */
async function serve(): Promise<void> {
  const server = await start(join(home, "data"));
  writeFileSync(runningFile, JSON.stringify({ pid: process.pid, url } satisfies Running));
  await new Promise((resolve) => process.once("SIGTERM", resolve).once("SIGINT", resolve));
  rmSync(runningFile, { force: true });
  await server.close();
}

async function start(dir: string): Promise<{ close(): Promise<void> }> {
  if (kind === "federation") {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const ports = [0, 1].map((n) => ({ client: port + n, federation: port + FEDERATION_OFFSET + n }));
    return startFederation({ dir, ports });
  }
  if (kind !== "embedded" && kind !== "synapse")
    throw new Error(`MX_DEV_HOMESERVER is ${kind}; it can be embedded, synapse, federation or docker`);
  return startHomeserverForTests({ kind: kind satisfies HomeserverKind, dir, port });
}

async function up(): Promise<void> {
  const already = running();
  if (already) return say(`already up: ${already.url}`);
  mkdirSync(home, { recursive: true });
  const log = openSync(logFile, "a");
  const self = process.argv[1] ?? "";
  const child = spawn(process.execPath, [self, "serve"], { detached: true, stdio: ["ignore", log, log] });
  closeSync(log);
  let ended = false;
  child.once("error", () => {
    ended = true;
  });
  child.once("exit", () => {
    ended = true;
  });
  while (!running()) {
    if (ended) throw new Error(`it did not start; ${logFile} ends with\n${tail(logFile)}`);
    await sleep(50);
  }
  child.unref();
  say(`up: ${kind} at ${url}${kind === "federation" ? ` and http://127.0.0.1:${port + 1}` : ""}`);
  say("a user: scripts/matrix_dev.sh register alice");
}

async function down(): Promise<void> {
  const server = running();
  if (!server) return say("not running");
  process.kill(server.pid, "SIGTERM");
  while (ours(server.pid)) await sleep(50);
  say("down");
}

async function reset(): Promise<void> {
  if (kind === "docker") return compose("down", "--volumes");
  await down();
  rmSync(home, { recursive: true, force: true });
  say("its data are gone; `up` starts afresh");
}

async function status(): Promise<void> {
  try {
    const response = await fetch(`${url}/_matrix/client/versions`, { signal: AbortSignal.timeout(5_000) });
    const { versions }: { versions: string[] } = await json(response);
    const pid = running()?.pid;
    say(`up: ${kind} at ${url}${pid === undefined ? "" : `, pid ${pid}`}, Matrix ${versions.at(-1)}`);
  } catch {
    say(`down: nothing answers at ${url}`);
    process.exitCode = 3;
  }
}

/** Makes a user through the client API, as a client would, and prints its new password. */
async function register(username: string): Promise<void> {
  const password = randomBytes(12).toString("base64url");
  const endpoint = `${url}/_matrix/client/v3/register`;
  const ask = (auth?: object) =>
    fetch(endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username, password, inhibit_login: true, ...(auth && { auth }) }),
    });
  const first = await ask();
  let done = first;
  if (first.status === 401) {
    const { session, flows } = (await first.json()) as { session: string; flows: { stages: string[] }[] };
    const plain = flows.some(({ stages }) => stages.join() === "m.login.dummy");
    done = await ask(
      plain
        ? { type: "m.login.dummy", session }
        : { type: "m.login.registration_token", token: registrationToken, session },
    );
  }
  const { user_id }: { user_id: string } = await json(done);
  say(`${user_id}, password ${password}`);
}

async function json<T>(response: Response): Promise<T> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return JSON.parse(text);
}

function compose(...args: string[]): void {
  const file = join(root, "dev", "matrix", image, "compose.yaml");
  const done = spawnSync("docker", ["compose", "-f", file, ...args], {
    stdio: "inherit",
    env: { ...process.env, MX_DEV_PORT: String(port), MX_DEV_REGISTRATION_TOKEN: registrationToken },
  });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`docker compose ended with status ${done.status}`);
}

function running(): Running | undefined {
  try {
    const found: Running = JSON.parse(readFileSync(runningFile, "utf8"));
    return ours(found.pid) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the pid is still that of a `serve`: after a crash, another process may have got the number. */
function ours(pid: number): boolean {
  const { stdout } = spawnSync("ps", ["-o", "args=", "-p", String(pid)], { encoding: "utf8" });
  return stdout.includes("dev.ts serve");
}

function tail(file: string): string {
  return readFileSync(file, "utf8").trim().split("\n").slice(-10).join("\n");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Each check of `doctor` finds what it is there for. The daemon answers as the test says; the rest is real. */
import { chmod, mkdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { mxError } from "@mx-agent/base";
import type { AgentInfo, DaemonStatus, Diagnosis, HomeserverFacts } from "@mx-agent/ipc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkService } from "../../src/doctor/daemon.ts";
import { findingsOf } from "../../src/doctor/doctor.ts";
import type { CheckName, Level } from "../../src/doctor/finding.ts";
import { checkDisk, checkNode } from "../../src/doctor/machine.ts";
import type { World } from "../../src/doctor/world.ts";
import { type Home, home, statusOf } from "../support/daemon-of.ts";
import { fakeCli } from "../support/fake-cli.ts";

let here: Home;
beforeEach(async () => {
  here = await home();
  await writeFile(join(here.dir, "config", "policy.toml"), "version = 1\n", { mode: 0o600 });
});
afterEach(() => here.close());

const homeserver: HomeserverFacts = {
  ...{ url: "https://matrix.example.org", reachable: true, detail: null, software: "Synapse 1.163.2" },
  ...{ newest_version: "v1.12", login_flows: ["m.login.password"], max_upload_bytes: 52_428_800 },
  ...{ clock_ahead_ms: 200, round_trip_ms: 12, login_accepted: true },
};
const agent: AgentInfo = {
  ...{
    agent_id: "laptop",
    room_id: "!farm:example.org",
    kind: "daemon",
    user_id: "@me:example.org",
    device_id: "D",
  },
  ...{ key_id: "k", fingerprint: "SHA256:own", status: "active", liveness: "active", last_seen_ts: 0 },
  ...{ capabilities: [], tools: [], workspace: { cwd: "", project_id: "", git_commit: "" } },
  ...{
    load: { running_invocations: 0, max_invocations: 4 },
    mine: true,
    trusted: true,
    audit_head: null,
    announced: null,
    warnings: [],
  },
};

interface Given {
  status?: Partial<DaemonStatus>;
  homeserver?: Partial<HomeserverFacts>;
  diagnosis?: Partial<Diagnosis>;
  agents?: AgentInfo[];
}

function daemon(given: Given = {}): Promise<void> {
  return here.daemon({
    "daemon.status": () => statusOf(here.dir, given.status),
    "daemon.diagnose": () => ({
      homeserver: { ...homeserver, ...given.homeserver },
      bubblewrap: { available: true, version: "0.8.0" },
      limits: { kind: "cgroup" },
      ...given.diagnosis,
    }),
    "trust.fingerprint": () => ({
      key_id: "k",
      fingerprint: "SHA256:own",
      public_key: "p",
      user_id: "@me:example.org",
    }),
    "agent.list": () => given.agents ?? [agent],
  });
}

interface Shown {
  code: number;
  level: Level;
  findings: { check: CheckName; level: Level; detail: string; hint: string | null }[];
  fixed: string[];
}

async function doctor(...flags: string[]): Promise<Shown> {
  const { code, stdout } = await here.mx(["doctor", "--json", ...flags]);
  return { code, ...JSON.parse(stdout) };
}

/** All that is not ok. */
const wrong = ({ findings }: Shown) =>
  findings.filter(({ level }) => level !== "ok").map(({ check, level }) => `${level} ${check}`);

test("where all is well every check says so, and the exit status is 0", async () => {
  await daemon();
  const shown = await doctor();
  expect(shown).toMatchObject({ code: 0, level: "ok" });
  expect(wrong(shown)).toEqual([]);
  expect(shown.findings.map(({ check }) => check)).toEqual([
    ...["node", "directories", "configuration", "disk", "sockets", "sandbox around", "daemon", "runner"],
    ...["service", "homeserver", "clock", "login", "sync", "keys", "sandbox", "limits", "policy"],
  ]);
});

test.each<[string, Given, string, RegExp]>([
  ["a daemon of another version", { status: { version: "0.0.9" } }, "warning daemon", /0\.0\.9.*0\.0\.1/],
  ["no runner", { status: { runner: { state: "stopped", pid: null } } }, "error runner", /nothing can/],
  ["no login", { status: { account: null } }, "error login", /not logged in/],
  ["a login that was revoked", { homeserver: { login_accepted: false } }, "error login", /no longer accepts/],
  [
    "a homeserver that does not answer",
    { homeserver: { reachable: false, detail: "ECONNREFUSED" } },
    "error homeserver",
    /cannot be reached: ECONNREFUSED/,
  ],
  [
    "a homeserver that takes no uploads",
    { homeserver: { max_upload_bytes: 1000 } },
    "warning homeserver",
    /1000 B/,
  ],
  ["a clock that is far off", { homeserver: { clock_ahead_ms: -130_000 } }, "error clock", /130 s behind/],
  ["a clock that is a little off", { homeserver: { clock_ahead_ms: 9_000 } }, "warning clock", /9 s ahead/],
  [
    "a sync that has stopped",
    { status: { sync: { state: "stopped", detail: "the database", retry_in_ms: null, last_sync_at: null } } },
    "error sync",
    /stopped: the database/,
  ],
  [
    "a homeserver that limits us",
    { status: { sync: { state: "rate_limited", detail: null, retry_in_ms: 9, last_sync_at: null } } },
    "warning sync",
    /rate-limited/,
  ],
  [
    "an agent of ours that shows another key",
    { agents: [{ ...agent, fingerprint: "SHA256:other" }] },
    "error keys",
    /another key than ours for laptop/,
  ],
  [
    "an agent that warns",
    { agents: [{ ...agent, warnings: ["overwritten"] }] },
    "warning keys",
    /overwritten/,
  ],
  ["what cannot be decrypted", { status: { undecryptable: 3 } }, "warning keys", /3 events/],
  [
    "no sandbox",
    { diagnosis: { bubblewrap: { available: false, reason: "bwrap is not on PATH" } } },
    "warning sandbox",
    /not on PATH/,
  ],
  [
    "limits that nothing but a watch holds",
    { diagnosis: { limits: { kind: "watch", reason: "no cgroup" } } },
    "warning limits",
    /watch that looks ten times a second \(no cgroup\)/,
  ],
])("finds %s", async (_, given, found, says) => {
  await daemon(given);
  const shown = await doctor();
  expect(wrong(shown)).toEqual([found]);
  expect(shown.code).toBe(found.startsWith("error") ? 3 : 0);
  const finding = shown.findings.find(({ level }) => level !== "ok");
  expect(finding?.detail).toMatch(says);
  expect(finding?.hint).not.toBeNull();
});

test("finds a daemon that does not run, and says how to start it", async () => {
  const shown = await doctor();
  expect(wrong(shown)).toContain("error daemon");
  expect(shown.findings.find(({ check }) => check === "daemon")?.hint).toContain("mx-agent daemon start");
});

test("finds a sandbox around it, and does not call the daemon stopped", async () => {
  const forbidden = mxError("MX_SOCKET_FORBIDDEN", { socket: "s", detail: "EPERM" });
  const found = await findingsOf(worldWith({ daemon: { up: false, error: forbidden } }));
  expect(found.find(({ check }) => check === "sandbox around")).toMatchObject({ level: "error" });
  expect(found.find(({ check }) => check === "daemon")?.detail).toMatch(/from inside of this sandbox/);
});

function worldWith(some: Partial<World>): World {
  return {
    cli: fakeCli({ env: here.env }).cli,
    dirs: {
      config: join(here.dir, "config"),
      data: join(here.dir, "data"),
      runtime: join(here.dir, "runtime"),
    },
    daemon: { up: true, status: statusOf(here.dir) },
    diagnosis: {
      homeserver: null,
      bubblewrap: { available: true, version: "1" },
      limits: { kind: "cgroup" },
    },
    fingerprint: null,
    agents: [],
    ...some,
  };
}

test("finds an old Node and a system that is not supported", () => {
  expect(checkNode("v22.9.0", "linux", "x64")).toMatchObject({ level: "error" });
  expect(checkNode("v24.0.0", "win32", "x64")).toMatchObject({
    level: "error",
    hint: expect.stringContaining("WSL2"),
  });
  expect(checkNode("v24.0.0", "darwin", "arm64")).toMatchObject({ level: "warning" });
});

test("finds a disk that is full", () => {
  // /proc is a file system of no size, and full.
  expect(checkDisk(worldWith({ dirs: { config: "/proc", data: "/proc", runtime: "/proc" } }))).toMatchObject({
    level: "error",
  });
});

test("finds a directory that others may enter, and --fix closes it", async () => {
  await daemon();
  await chmod(join(here.dir, "data"), 0o755);
  const before = await doctor();
  expect(wrong(before)).toEqual(["error directories"]);
  expect(before.code).toBe(3);
  const after = await doctor("--fix");
  expect(after).toMatchObject({ code: 0, fixed: [`chmod 700 ${join(here.dir, "data")}`] });
  expect((await stat(join(here.dir, "data"))).mode & 0o777).toBe(0o700);
});

test("finds a signing key that others may read, and --fix closes it", async () => {
  await daemon();
  await mkdir(join(here.dir, "data", "keys"));
  const seed = join(here.dir, "data", "keys", "a.seed");
  await writeFile(seed, "x", { mode: 0o644 });
  expect(wrong(await doctor())).toEqual(["error directories"]);
  await doctor("--fix");
  expect((await stat(seed)).mode & 0o777).toBe(0o600);
});

test("finds a directory that is a link to somewhere else, and --fix leaves it alone", async () => {
  await rm(join(here.dir, "data"), { recursive: true });
  await symlink("/tmp", join(here.dir, "data"));
  const shown = await doctor("--fix");
  expect(shown.findings.find(({ check }) => check === "directories")).toMatchObject({ level: "error" });
  expect(shown.fixed.filter((text) => text.startsWith("chmod"))).toEqual([]);
});

test("finds a socket that others may connect to, and a file where it should be", async () => {
  const socket = join(here.dir, "runtime", "runner.sock");
  const server = createServer().listen(socket);
  await new Promise((resolve) => server.once("listening", resolve));
  await chmod(socket, 0o666);
  await daemon();
  expect(wrong(await doctor())).toEqual(["error sockets"]);
  expect((await doctor("--fix")).fixed).toEqual([`chmod 600 ${socket}`]);
  await new Promise((resolve) => server.close(resolve));
  await writeFile(socket, "");
  expect(wrong(await doctor())).toEqual(["error sockets"]);
});

test("finds a mistake in config.toml, with its line", async () => {
  await daemon();
  await writeFile(join(here.dir, "config", "config.toml"), "homesrv = 'x'\n");
  const shown = await doctor();
  expect(wrong(shown)).toEqual(["error configuration"]);
  expect(shown.findings.find(({ level }) => level === "error")?.detail).toMatch(/config\.toml:1.*homesrv/);
});

test("finds a policy with a mistake, one that allows more than it says, and none at all, which --fix writes", async () => {
  await daemon();
  const policy = join(here.dir, "config", "policy.toml");
  await writeFile(policy, "version = 1\n[rooms]\nx = \n");
  expect(wrong(await doctor())).toEqual(["error policy"]);
  await writeFile(
    policy,
    'version = 1\n[rooms."!a:b"]\ntrusted = true\n[rooms."!a:b".agents."@c:b"]\nallow_exec = true\nallow_unsandboxed = true\nsandbox = "none"\nallow_commands = ["sh"]\nallow_cwd = ["/tmp"]\n',
  );
  expect(wrong(await doctor())).toContain("warning policy");
  await rm(policy);
  expect(wrong(await doctor())).toEqual(["warning policy"]);
  expect(wrong(await doctor("--fix"))).toEqual([]);
});

test("without --json each finding is a line, with what to do below it", async () => {
  await daemon({ status: { account: null } });
  const { stdout } = await here.mx(["doctor"], { columns: 80 });
  expect(stdout).toContain("login: not logged in\n         next: `mx-agent auth login");
  expect(stdout).toMatch(/\n1 error, 0 warnings\n$/);
});

test("finds a service that ends with the last logout", async () => {
  const unit = join(here.dir, ".config", "systemd", "user", "mx-agent.service");
  await mkdir(dirname(unit), { recursive: true });
  await writeFile(unit, "");
  expect(checkService(worldWith({}), false)).toMatchObject({
    level: "warning",
    hint: "`loginctl enable-linger`",
  });
  expect(checkService(worldWith({}), true)).toMatchObject({ level: "ok" });
});

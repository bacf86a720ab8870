import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mxError } from "@mx-agent/base";
import { nodeMachine } from "@mx-agent/policy";
import type { RunnerClient } from "@mx-agent/runner";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { admit, WHILE_RUNNING } from "../src/admit/admit.ts";
import { type AuditLog, openAudit } from "../src/audit/log.ts";
import { Daemon } from "../src/daemon.ts";
import { methods } from "../src/methods/index.ts";
import { imaginedEvent } from "../src/run/imagined.ts";
import { recordOf } from "../src/run/record.ts";
import { ownKeyIds } from "../src/signing-keys.ts";
import { Database } from "../src/state/database.ts";
import { migrations } from "../src/state/schema.ts";
import { openTables } from "../src/state/tables.ts";
import {
  ALICE,
  aliceKey,
  approval,
  eventOf,
  NOW,
  ROOM,
  request,
  signed,
  strangerKey,
} from "./admit/support.ts";

let home: string;
let db: Database;
let log: AuditLog;
let daemon: Daemon;
/** The devices that the homeserver made, one for each login. */
let logins: string[];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "mx-daemon-"));
  for (const name of ["config", "data", "runtime"]) mkdirSync(join(home, name), { mode: 0o700 });
  logins = [];
  daemon = started();
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await daemon.close();
  db.close();
  rmSync(home, { recursive: true });
});

function started(runner: object = {}): Daemon {
  const dirs = { config: join(home, "config"), data: join(home, "data"), runtime: join(home, "runtime") };
  db = new Database({ file: join(dirs.data, "state.db"), migrations, version: "1.0.0" });
  log = openAudit({
    dir: join(dirs.data, "audit"),
    clock: () => new Date(),
    isOwnKey: (id) => ownKeyIds(join(dirs.data, "keys")).includes(id),
  });
  return new Daemon({
    dirs,
    env: {},
    tables: openTables(db, Date.now),
    runner: { pid: 1, on: () => {}, list: async () => [], ...runner } as unknown as RunnerClient,
    log,
    machine: nodeMachine({ HOME: home, PATH: "/usr/bin" }, Object.values(dirs)),
    logger: pino({ level: "silent" }),
    sockets: { daemon: "", agent: "" },
    now: Date.now,
    fetch: homeserver,
    stop: () => {},
    fatal: (error) => {
      throw error;
    },
  });
}

/** Lets in whoever comes, and then is not heard of any more. */
const homeserver: typeof globalThis.fetch = async (input) => {
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  if (pathname.endsWith("/versions")) return Response.json({ versions: ["v1.11"] });
  if (!pathname.endsWith("/login")) throw new TypeError("fetch failed");
  const device_id = `DEVICE${logins.length}`;
  logins.push(device_id);
  return Response.json({ user_id: "@you:x", device_id, access_token: `token-${device_id}` });
};

const login = () =>
  daemon.login({
    homeserver: "https://x",
    user: "you",
    secret: { type: "password", password: "secret" },
    device_name: null,
  });

const full = () =>
  vi.spyOn(log, "appendMany").mockImplementation(() => {
    throw mxError("MX_CANNOT_WRITE", { path: "audit", detail: "ENOSPC", hint: "make room" });
  });

test("of two logins at once one is made, and the other is told of it", async () => {
  const both = await Promise.allSettled([login(), login()]);
  expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect(both[1]).toMatchObject({ reason: { code: "MX_USAGE", message: expect.stringMatching(/already/) } });
  expect(logins).toHaveLength(1);
});

test("a login that cannot be taken up says why, and goes on once that is mended", async () => {
  await login();
  const [seed = ""] = readdirSync(join(home, "data", "keys"));
  await daemon.close();
  db.close();
  const file = join(home, "data", "keys", seed);
  writeFileSync(file, "no key");
  daemon = started();
  await daemon.start();
  expect(daemon.status().sync).toMatchObject({ state: "stopped", detail: expect.stringContaining(file) });
  expect(() => daemon.requireOnline()).toThrow(expect.objectContaining({ code: "MX_NOT_RUNNING" }));
  rmSync(file);
  await daemon.start();
  expect(daemon.requireOnline().session.account).toMatchObject({ user_id: "@you:x" });
});

test("an audit log that cannot be written ends no daemon: what is tightened holds, and refusals wait", async () => {
  await login();
  vi.useFakeTimers({ toFake: ["setInterval"] });
  await daemon.logout();
  await login();
  const lines = full();
  await daemon.requireOnline().route(eventOf({ nothing: "that has a form" }));
  vi.advanceTimersByTime(61_000);
  expect(lines).toHaveBeenCalled();
  writeFileSync(join(home, "config", "policy.toml"), "version = 1\n");
  expect(daemon.policy.current().state).toBe("ok");
  expect(daemon.status().policy.state).toBe("ok");
});

test("a key is revoked without a session too, and nothing else is said", async () => {
  const { trust } = daemon.tables;
  trust.approve(approval());
  const { handle } = methods(daemon)["trust.revoke"];
  const context = {} as Parameters<typeof handle>[1];
  const all = { room: null, agent: "alice", fingerprint: null };
  expect(await handle(all, context)).toMatchObject({ revoked: [{ status: "revoked" }], still_members: [] });
  expect(trust.list(null)).toMatchObject([{ agent_id: "alice", status: "revoked" }]);
  await expect(handle(all, context)).rejects.toMatchObject({ code: "MX_NOT_FOUND" });
});

test("what would be decided is shown for the key that counts now, whichever was approved before", async () => {
  await login();
  const { trust } = daemon.tables;
  trust.approve(approval());
  trust.approve(approval({ key_id: strangerKey.key_id, approved_at: new Date(NOW + 1).toISOString() }));
  const imagined = { room_id: ROOM, user: ALICE, agent: "alice", command: ["true"] };
  const { sender, content } = imaginedEvent({ ...imagined, cwd: null, env: [], tool: null }, {
    trust,
    identity: daemon.requireOnline().identity,
    ownAgents: daemon.tables.ownAgents,
    now: Date.now,
  } as unknown as Parameters<typeof imaginedEvent>[1]);
  expect(sender).toBe(ALICE);
  expect(content).toMatchObject({ signature: { key_id: strangerKey.key_id } });
});

describe("what runs ends within 5 s by the clock that everything goes by", () => {
  const policy = (settings: string, entry = "") => `version = 1
[execution]
${settings}
[rooms."${ROOM}"]
trusted = true
[rooms."${ROOM}".agents."${ALICE}"]
allow_exec = true
allow_commands = ["true"]
allow_cwd = ["${home}/project"]
${entry}`;
  const asUsual = () => policy('network = "allow"\nmax_runtime_ms = 60000');
  const write = (text: string) => writeFileSync(join(home, "config", "policy.toml"), text);
  const GRACE_MS = 2_000;
  let killed: Map<string, number>;
  let since: number;

  /** A runner whose runs heed nothing but SIGKILL. */
  const stubborn = () => ({
    cancel: async (run_id: string, grace_ms: number) =>
      void setTimeout(() => {
        killed.set(run_id, Date.now() - since);
        db.run("UPDATE executions SET state = 'ended' WHERE run_id = ?", run_id);
      }, grace_ms),
  });

  /** Something runs, as the policy that is there grants it. */
  function runs(run_id: string): void {
    const content = signed(request({ command: ["true"], cwd: join(home, "project") }));
    const event = eventOf(content);
    const world = { ...daemon.worldOf({ sender: "@builder:example.org" }), isJoined: () => true };
    const admission = admit(event, world, WHILE_RUNNING);
    if (admission.outcome !== "admitted") throw new Error(JSON.stringify(admission));
    const { executions } = daemon.tables;
    const claim = {
      nonce: run_id,
      expires_ts: 0,
      invocation_id: run_id,
      request_id: run_id,
      key_id: aliceKey.key_id,
    };
    executions.insert({ ...recordOf(event, claim, daemon), run_id });
    executions.setDecision(run_id, "running", null, "null", admission.admitted.grant);
  }

  beforeEach(async () => {
    await daemon.close();
    db.close();
    mkdirSync(join(home, "project"));
    write(asUsual());
    killed = new Map();
    vi.useFakeTimers({
      now: Date.now(),
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"],
    });
    daemon = started(stubborn());
    vi.spyOn(daemon.rooms, "isJoined").mockReturnValue(true);
    daemon.tables.trust.approve(approval());
    runs("first");
    runs("second");
    since = Date.now();
  });

  /** Whatever moment of the daemon's own rounds it falls on. */
  const at = () => vi.advanceTimersByTimeAsync(Math.floor(Math.random() * 3_000));

  test.each<[string, () => void, string[]]>([
    [
      "a key that is revoked",
      () => daemon.tables.trust.revoke({ room_id: ROOM, agent_id: "alice", fingerprint: null }),
      ["first", "second"],
    ],
    [
      "an approval that expires",
      () => daemon.tables.trust.approve(approval({ expires_at: new Date().toISOString() })),
      ["first", "second"],
    ],
    ["a denial", () => write("version = 1\n"), ["first", "second"]],
    [
      "a network that is taken away",
      () => write(asUsual().replace('"allow"', '"deny"')),
      ["first", "second"],
    ],
    ["a lower limit", () => write(asUsual().replace("60000", "30000")), ["first", "second"]],
    [
      "an approval that is needed",
      () => write(policy('network = "allow"\nmax_runtime_ms = 60000', "requires_approval = true\n")),
      ["first", "second"],
    ],
    [
      "fewer at a time",
      () => write(asUsual().replace("max_runtime", "max_concurrent = 1\nmax_runtime")),
      ["second"],
    ],
    ["no file", () => rmSync(join(home, "config", "policy.toml")), ["first", "second"]],
    ["more time", () => write(asUsual().replace("60000", "90000")), []],
    ["nothing that it does", () => write(`${asUsual()}# a remark\n`), []],
  ])("%s", async (_, change, ended) => {
    await at();
    since = Date.now();
    change();
    await vi.advanceTimersByTimeAsync(5_000);
    expect([...killed.keys()]).toEqual(ended);
    expect(Math.max(GRACE_MS, ...killed.values())).toBeLessThan(5_000);
    const told = log.tail(100).filter(({ decision }) => decision === "end");
    expect(told.map(({ invocation_id }) => invocation_id)).toEqual(ended);
  });

  test("a policy that was tightened while no daemon was there", async () => {
    await daemon.close();
    db.close();
    write(asUsual().replace('"allow"', '"deny"'));
    daemon = started(stubborn());
    vi.spyOn(daemon.rooms, "isJoined").mockReturnValue(true);
    since = Date.now();
    await vi.advanceTimersByTimeAsync(5_000);
    expect([...killed.keys()]).toEqual(["first", "second"]);
    expect(Math.max(...killed.values())).toBeLessThan(5_000);
  });
});

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AgentInfo, DaemonStatus, InvocationInfo, WorkspaceInfo } from "@mx-agent/ipc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Home, home, statusOf } from "../support/daemon-of.ts";

let here: Home;
beforeEach(async () => {
  here = await home();
});
afterEach(() => here.close());

const farm: WorkspaceInfo = {
  ...{ room_id: "!farm:example.org", name: "farm", alias: null, encrypted: true, membership: "join" },
  ...{ keys_to: "all", member_count: 2, project_id: null, inviter: null },
};
const builder: AgentInfo = {
  ...{
    agent_id: "builder",
    room_id: farm.room_id,
    kind: "daemon",
    user_id: "@b:example.org",
    device_id: "B",
  },
  ...{ key_id: "k", fingerprint: "SHA256:f", status: "active", liveness: "active", last_seen_ts: Date.now() },
  ...{ capabilities: [], tools: [], workspace: { cwd: "", project_id: "", git_commit: "" } },
  ...{
    load: { running_invocations: 1, max_invocations: 4 },
    mine: false,
    trusted: true,
    audit_head: null,
    announced: null,
    warnings: [],
  },
};
const build: InvocationInfo = {
  ...{ invocation_id: "inv_1", request_id: "req_1", side: "executor", kind: "exec", room_id: farm.room_id },
  ...{ agent: "me", requester: "@b:example.org", summary: "npm test", state: "running" },
  ...{ created_at: new Date().toISOString(), ended_at: null, result: null, reason: null },
};

async function shown(
  some: { daemon?: Partial<DaemonStatus>; agents?: AgentInfo[]; invocations?: InvocationInfo[] },
  columns = 100,
): Promise<string> {
  await here.daemon({
    "daemon.status": () => statusOf(here.dir, some.daemon),
    "workspace.list": () => [farm],
    "agent.list": () => some.agents ?? [builder],
    "invocation.list": () => some.invocations ?? [build],
  });
  const { code, stdout } = await here.mx(["status"], { columns });
  expect(code).toBe(0);
  return stdout;
}

test("status shows the account, the workspace with its agents, and what runs", async () => {
  const text = await shown({});
  expect(text).toMatch(/account: +@me:example\.org on https:\/\/matrix\.example\.org/);
  expect(text).toMatch(
    /farm {2}2 members, encrypted {2}!farm:example\.org\n +builder {2}active, trusted, 1 of 4/,
  );
  expect(text).toMatch(/running.*\n +npm test {2}for @b:example\.org, running/);
  expect(text).not.toMatch(/waiting for approval|wrong/);
});

test("status shows what waits for an approval apart from what runs", async () => {
  const text = await shown({ invocations: [{ ...build, state: "held", summary: "git push" }] });
  expect(text).toMatch(/waiting for approval.*\n +git push/);
  expect(text).not.toMatch(/npm test/);
});

test.each<[string, Parameters<typeof shown>[0], RegExp]>([
  ["no login", { daemon: { account: null } }, /not logged in: `mx-agent auth login/],
  [
    "a sync that does not go on",
    { daemon: { sync: { state: "degraded", detail: "ECONNREFUSED", retry_in_ms: 1, last_sync_at: null } } },
    /sync is degraded: ECONNREFUSED/,
  ],
  [
    "a policy with a mistake",
    { daemon: { policy: { state: "invalid", file: "p", detail: "line 3" } } },
    /everything is denied: line 3/,
  ],
  [
    "a daemon of another version",
    { daemon: { version: "0.0.9" } },
    /the daemon is mx-agent 0\.0\.9, this is 0\.0\.1/,
  ],
  ["what cannot be decrypted", { daemon: { undecryptable: 2 } }, /2 events cannot be decrypted/],
  [
    "an agent that somebody overwrote",
    { agents: [{ ...builder, warnings: ["overwritten"] }] },
    /builder: overwritten/,
  ],
])("status says what is wrong: %s", async (_, some, says) => {
  expect(await shown(some)).toMatch(says);
});

test("status is one screen, however much there is, and fits the terminal", async () => {
  const many = Array.from({ length: 50 }, (_, n) => ({
    ...build,
    invocation_id: `inv_${n}`,
    summary: "make ".repeat(50),
  }));
  const agents = Array.from({ length: 50 }, (_, n) => ({ ...builder, agent_id: `builder-${n}` }));
  const lines = (await shown({ invocations: many, agents }, 40)).split("\n");
  expect(lines.length).toBeLessThanOrEqual(24);
  expect(lines.filter((line) => line.length > 40)).toEqual([]);
});

test("status ends with 3 where the daemon does not run, and says how to start it", async () => {
  await writeFile(join(here.dir, "data", "state.db"), "");
  const { code, stderr } = await here.mx(["status"]);
  expect(code).toBe(3);
  expect(stderr).toContain("mx-agent daemon start");
});

test("status --json is one value with everything in it", async () => {
  await shown({});
  const { stdout } = await here.mx(["status", "--json"]);
  expect(Object.keys(JSON.parse(stdout))).toEqual([
    "daemon",
    "workspaces",
    "agents",
    "running",
    "waiting",
    "problems",
  ]);
});

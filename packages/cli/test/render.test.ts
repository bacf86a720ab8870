import { execFileSync } from "node:child_process";
import { mxError } from "@mx-agent/base";
import type { AgentInfo, DaemonStatus, InvocationResult, WorkspaceInfo } from "@mx-agent/ipc";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { endingOf, signalExit } from "../src/exec/outcome.ts";
import { rawOutput } from "../src/exec/output.ts";
import { refusalError } from "../src/exec/refusal.ts";
import { lifeOf, renderAgents, renderTool } from "../src/render/agent.ts";
import { renderAuditLine } from "../src/render/audit.ts";
import { shellWords } from "../src/render/command.ts";
import { renderDaemonStatus } from "../src/render/daemon-status.ts";
import { errorJson, errorLines } from "../src/render/errors.ts";
import { painter, visible } from "../src/render/style.ts";
import { pairs, table } from "../src/render/table.ts";
import { ago, bytes, duration } from "../src/render/time.ts";
import { renderStillMember } from "../src/render/trust.ts";
import { allowLines } from "../src/render/up.ts";
import { renderWorkspaces } from "../src/render/workspace.ts";
import { fakeCli } from "./support/fake-cli.ts";

/** C0, DEL, C1, other ends of a line, and what turns the direction of writing: none may reach a terminal. */
const obeyed = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;
const onTerminal = (text: string) => text.replaceAll("\n", "");
const hostile = fc.string({
  unit: fc.oneof(fc.constantFrom("\u001b", "\n", "\r", "\u202e", "\u009b", "\u061c", "\u2028"), fc.string()),
});

describe("what another machine sent", () => {
  test("moves no cursor and starts no line of its own", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(visible(text)).not.toMatch(obeyed);
        expect(visible(text)).not.toContain("\n");
        expect(table(["A", "B"], [[text, text]], Infinity).split("\n")).toHaveLength(2);
        expect(pairs([["name", text]]).split("\n")).toHaveLength(1);
        expect(renderAuditLine({ seq: 1, ts: "t", kind: "k", prev: "", said: text })).not.toMatch(obeyed);
      }),
    );
  });

  test("as an agent's name or warning is shown and not obeyed", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(
          onTerminal(renderAgents([{ ...agent, agent_id: text, warnings: [text] }], Infinity, 0)),
        ).not.toMatch(obeyed);
      }),
    );
  });

  test("about a request that waits for approval keeps to its line", async () => {
    await fc.assert(
      fc.asyncProperty(hostile, async (text) => {
        const { cli, stderr } = fakeCli();
        await rawOutput(cli).item({ type: "held", expires_at: text, summary: text });
        expect(stderr().split("\n")).toHaveLength(2);
        expect(onTerminal(stderr())).not.toMatch(obeyed);
      }),
    );
  });

  test("as a tool, a command to type or a member keeps to its lines", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const tool = { name: text, version: "1", description: text, agent_id: text };
        const shown = renderTool({ ...tool, input_schema: { description: text } });
        expect(onTerminal(shown)).not.toMatch(obeyed);
        expect(shown.split("\n")).toHaveLength(7);
        expect(onTerminal(allowLines(text).join(""))).not.toMatch(obeyed);
        expect(renderStillMember({ room_id: text, user_id: text })).not.toMatch(obeyed);
      }),
    );
  });

  test("a member that is still there can be removed by the line that is shown", () => {
    // Without quotes an interactive bash would look into its history for `!room`.
    expect(renderStillMember({ room_id: "!room:b", user_id: "@bob:b" })).toMatch(
      / mx-agent workspace remove @bob:b --room '!room:b'$/,
    );
  });

  test("as an error keeps to its three lines", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const error = mxError("MX_NOT_FOUND", { what: "room", name: text }, { hint: text || "x" });
        expect(errorLines(error).trimEnd().split("\n")).toHaveLength(3);
        expect(onTerminal(errorLines(error))).not.toMatch(obeyed);
      }),
    );
  });
});

describe("a command that is shown", () => {
  test("can be typed into a shell again, and means the same", () => {
    const word = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0"));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
        const said = execFileSync("sh", ["-c", `printf '%s\\0' ${shellWords(words)}`], { encoding: "utf8" });
        expect(said.split("\0").slice(0, -1)).toEqual(words);
      }),
      { numRuns: 30 },
    );
  });
});

describe("times and sizes", () => {
  test.each([
    [0, "0ms"],
    [999, "999ms"],
    [61_000, "1m 1s"],
    [3_600_000, "1h"],
    [90_061_000, "1d 1h"],
  ])("%i ms is %s", (ms, text) => expect(duration(ms)).toBe(text));

  test("that never were, and those to come, are said as such", () => {
    expect(ago(null, 5)).toBe("never");
    expect(ago(10_000, 5_000)).toBe("0ms ago");
  });

  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [2 ** 50, "1024.0 TiB"],
  ])("%i bytes are %s", (count, text) => expect(bytes(count)).toBe(text));
});

describe("colours", () => {
  const on = painter({ isTTY: true }, {});
  test("are for a terminal alone, and NO_COLOR and a dumb one are honoured", () => {
    expect(on("red", "x")).toBe("\u001b[31mx\u001b[0m");
    for (const [stream, env] of [
      [{ isTTY: false }, {}],
      [{}, {}],
      [{ isTTY: true }, { NO_COLOR: "1" }],
      [{ isTTY: true }, { TERM: "dumb" }],
    ] as const)
      expect(painter(stream, env)("red", "x")).toBe("x");
  });
});

describe("daemon status", () => {
  test("says what is wrong: the login, the policy, what could not be sent or read", () => {
    const text = renderDaemonStatus(
      {
        ...status,
        policy: { state: "invalid", file: "/p", detail: "/p:3: unknown key" },
        sync: { state: "rate_limited", detail: null, retry_in_ms: 5_000, last_sync_at: null },
        undecryptable: 2,
      },
      fakeCli().cli,
    );
    expect(text).toMatch(/account: +not logged in/);
    expect(text).toMatch(/sync: +rate-limited for 5s/);
    expect(text).toMatch(/policy: +invalid, everything is denied: \/p:3: unknown key/);
    expect(text).toMatch(/not decrypted yet: +2/);
    expect(text).not.toContain("dropped");
  });
});

test("how many are in a room that one is only invited to is unknown", () => {
  expect(renderWorkspaces([invitation], Infinity)).toMatch(/invited by @a:b +no +unknown$/);
});

describe("how a run ended", () => {
  const end = (some: Partial<InvocationResult>) =>
    endingOf({ ...finished, ...some }, "inv_1", "make", { room: "r", agent: "builder" });
  test.each<[string, Partial<InvocationResult>, number, string | undefined]>([
    ["exited 7", { exit_code: 7 }, 7, undefined],
    ["killed by SIGKILL", { outcome: "signaled", exit_code: null, signal: "SIGKILL" }, 137, undefined],
    ["killed by it is not said what", { outcome: "signaled", exit_code: null }, 128, undefined],
    ["as nobody knows", { exit_code: null }, 76, "MX_PROTOCOL"],
    ["timed out", { outcome: "timed_out" }, 124, "MX_TIMED_OUT"],
    ["cancelled", { outcome: "cancelled" }, 130, "MX_CANCELLED"],
    ["output limit", { outcome: "output_limit" }, 74, "MX_STREAM_INCOMPLETE"],
    ["interrupted", { outcome: "interrupted" }, 74, "MX_STREAM_INCOMPLETE"],
    ["damaged", { exit_code: 0, complete: false }, 74, "MX_STREAM_INCOMPLETE"],
    ["cut off", { exit_code: 0, truncated: true }, 74, "MX_STREAM_INCOMPLETE"],
    ["cut off by the limit", { outcome: "output_limit", truncated: true }, 74, "MX_STREAM_INCOMPLETE"],
    ["not found", { outcome: "spawn_failed", exit_code: 127 }, 127, "MX_COMMAND_NOT_FOUND"],
    ["not executable", { outcome: "spawn_failed", exit_code: 126 }, 126, "MX_SPAWN_FAILED"],
  ])("%s", (_, some, exit, code) => {
    expect(end(some).exit).toBe(exit);
    expect(end(some).error?.code).toBe(code);
  });

  test("by a signal that is unknown here is 128", () => expect(signalExit("SIGNOWHERE")).toBe(128));
});

describe("a refusal", () => {
  const refused = (reason: string, origin: "local" | "remote" = "remote", detail: string | null = null) =>
    refusalError(
      { invocation_id: "inv_1", request_id: "req_1", reason, detail, origin },
      { room: "farm", agent: "builder" },
      "make all",
    );
  test.each([
    ["policy_denied", 77, /on builder's machine: `mx-agent policy explain req_1`/],
    ["untrusted_key", 77, /on builder's machine: `mx-agent trust approve --room farm`/],
    ["expired", 77, /date -u/],
    ["rate_limited", 77, /try again in a minute/],
    ["tool_not_found", 127, /tools list --room farm --agent builder/],
    ["tool_input_invalid", 65, /tools show/],
    ["spawn_failed", 126, /mx-agent doctor/],
  ])("%s is %i and says what to do where", (reason, exit, hint) => {
    expect(refused(reason).exitCode).toBe(exit);
    expect(refused(reason).hint).toMatch(hint);
    expect(JSON.parse(errorJson(refused(reason))).error.details).toMatchObject({
      reason,
      request_id: "req_1",
    });
  });

  test("says in one line what the other side said of it, as long as that is", () => {
    const second = (reason: string, detail: string) =>
      errorLines(refused(reason, "remote", detail)).split("\n")[1];
    expect(second("spawn_failed", 'EACCES: "x" is a directory')).toBe(
      '  reason: spawn_failed: EACCES: "x" is a directory (MX_SPAWN_FAILED)',
    );
    expect(second("policy_denied", "a\nb\u001b[2J")).not.toContain("\u001b");
    expect(second("policy_denied", "x".repeat(10_000))?.length).toBeLessThan(400);
    expect(second("untrusted_key", "run this")).toBe("  reason: untrusted_key (MX_REFUSED)");
  });

  test("for a program that is not there is 127", () => {
    const missing = refused("spawn_failed", "remote", "ENOENT: /usr/bin/make");
    expect(missing.exitCode).toBe(127);
    expect(missing.hint).toMatch(/on builder's machine: .* interpreter/);
    for (const detail of [
      'EACCES: "make" may not be executed',
      'EACCES: "/ENOENT: not there" is a directory',
    ])
      expect(refused("spawn_failed", "remote", detail).exitCode).toBe(126);
  });

  test("that was made here says so, and what to type here", () => {
    expect(refused("untrusted_key", "local").message).toBe("refused here, for builder in farm: make all");
    expect(refused("untrusted_key", "local").hint).toMatch(/on this machine: `mx-agent trust approve/);
  });
});

test("an agent's life is one phrase: when it was seen, and whether it was taken back", () => {
  const of = (status: string, liveness: AgentInfo["liveness"]) =>
    lifeOf({ ...agent, status, liveness, last_seen_ts: 1 }, 61_000);
  expect(of("active", "active")).toBe("active, seen 1m ago");
  expect(of("active", "stale")).toBe("stale, seen 1m ago");
  expect(of("offline", "offline")).toBe("unregistered, seen 1m ago");
});

const agent: AgentInfo = {
  ...{ agent_id: "a", room_id: "!r", kind: "daemon", user_id: "@u:b", device_id: "D", key_id: "k" },
  ...{ fingerprint: "f", status: "active", liveness: "active", last_seen_ts: 0, capabilities: [], tools: [] },
  workspace: { cwd: "", project_id: "", git_commit: "" },
  load: { running_invocations: 0, max_invocations: 4 },
  ...{ mine: false, trusted: true, audit_head: null, announced: null, warnings: [] },
};

const status: DaemonStatus = {
  ...{ pid: 1, version: "0.1.0", started_at: "", uptime_ms: 1000 },
  sockets: { daemon: "/d", agent: "/a" },
  account: null,
  sync: { state: "logged_out", detail: null, retry_in_ms: null, last_sync_at: null },
  policy: { state: "ok", file: "/p", detail: null },
  runner: { state: "running", pid: 2 },
  ...{ running_invocations: 0, outbox_depth: 0, dropped_results: 0, undecryptable: 0, warnings: [] },
};

const invitation: WorkspaceInfo = {
  ...{ room_id: "!r:b", name: "farm", alias: null, encrypted: false, membership: "invite" },
  ...{ keys_to: null, member_count: null, project_id: null, inviter: "@a:b" },
};

const finished: InvocationResult = {
  ...{ outcome: "exited", exit_code: null, signal: null, duration_ms: 10 },
  ...{ stdout_bytes: 0, stderr_bytes: 0, truncated: false, complete: true },
};

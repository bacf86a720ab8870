import { mxError } from "@mx-agent/base";
import { EventTypes } from "@mx-agent/protocol";
import type { RunnerClient } from "@mx-agent/runner";
import { expect, test } from "vitest";
import { at, daemon, FULL, fresh, home, reasons, restart, send, sendTogether } from "./executing.ts";
import {
  ALICE,
  approval,
  BUILDER,
  builderKey,
  type Content,
  eventOf,
  NOW,
  ROOM,
  request,
  signed,
} from "./support.ts";

test("a request is on record before it is handed on, and comes once", async () => {
  const content = fresh();
  await send(content);
  await send(content);
  expect(daemon.started).toEqual([content.invocation_id]);
  expect(daemon.audit).toEqual([expect.objectContaining({ kind: "decision", decision: "allow" })]);
  expect(reasons()).toEqual({ replayed: 1 });
});

test("a nonce that was used with another invocation id is known to a restarted daemon", async () => {
  const nonce = "once";
  await send(fresh({ nonce }));
  restart();
  await send(fresh({ nonce }));
  expect(daemon.started).toEqual([]);
  expect(reasons()).toEqual({ replayed: 1 });
});

test("a clock that is set back revives no request, also over a restart", async () => {
  const content = fresh();
  home.system += 300_000;
  await send(fresh());
  home.system = NOW;
  await send(content);
  expect(reasons()).toEqual({ expired: 1 });
  restart();
  await send(content);
  expect(daemon.started).toEqual([]);
  expect(reasons()).toEqual({ expired: 1 });
});

test("a full table of nonces refuses that key's requests, evicts nothing, and has room again when they expire", async () => {
  restart({ nonces: 2 });
  const first = fresh();
  await send(first);
  await send(fresh());
  await send(fresh());
  expect(daemon.started).toHaveLength(2);
  expect(reasons()).toEqual({ over_capacity: 1 });
  await send(fresh({ nonce: first.nonce }));
  expect(reasons()).toEqual({ replayed: 1 });
  // Another key has a table of its own.
  await send(signed(request(), { key: builderKey, sender: BUILDER }), { sender: BUILDER });
  expect(reasons()).toEqual({});
  expect(daemon.audit.at(-1)).toMatchObject({ decision: "deny", reason: "policy_denied", sender: BUILDER });
  home.system += 250_000;
  await send(fresh());
  expect(daemon.started).toHaveLength(3);
});

test("what fails before its signature is verified burns neither nonce nor invocation id", async () => {
  const good = fresh();
  await send({ ...good, cwd: "/" });
  await send({ ...good, signature: undefined });
  await send(good, { sender: "@mallory:example.org" });
  await send(good);
  expect(daemon.started).toEqual([good.invocation_id]);
});

test("a request that expired before the next daemon came to start it is refused for good", async () => {
  const content = fresh();
  await send(content);
  restart();
  home.system += 120_000;
  await daemon.executor.resumeAdmitted();
  expect(daemon.started).toEqual([]);
  expect(daemon.tables.executions.byInvocation(String(content.invocation_id))).toMatchObject({
    state: "rejected",
    reason: "expired",
  });
});

test("a key that is revoked before the run was started leaves nothing that could start later", async () => {
  const content = fresh();
  await send(content);
  restart();
  daemon.tables.trust.revoke({ room_id: ROOM, agent_id: "alice", fingerprint: null });
  await daemon.executor.resumeAdmitted();
  daemon.tables.trust.approve(approval());
  await daemon.executor.resumeAdmitted();
  expect(daemon.started).toEqual([]);
  expect(daemon.tables.executions.countRunning(ROOM, ALICE)).toBe(0);
  expect(daemon.audit.at(-1)).toMatchObject({ decision: "deny", reason: "revoked_key" });
});

test("a refusal of a stranger is said once a minute, six times an hour, and never about a request that is known", async () => {
  const known = fresh();
  await send(known);
  daemon.said.length = 0;
  const unsigned = (sender: string, changes: Content = {}) =>
    send({ ...request({ created_at: at(0), expires_at: at(120_000), ...changes }) }, { sender });
  const { invocation_id, idempotency_key, request_id } = known;
  await unsigned("@mallory:example.org", { invocation_id, idempotency_key });
  await unsigned("@mallory:example.org", { request_id });
  await send(known, { sender: "@mallory:example.org" });
  expect(daemon.said).toEqual([]);
  for (let n = 0; n < 20; n++) await unsigned("@mallory:example.org");
  expect(daemon.said).toHaveLength(1);
  for (let n = 0; n < 20; n++) await unsigned(`@user${n}:example.org`);
  expect(daemon.said).toHaveLength(6);
  home.system += 60_001;
  await unsigned("@mallory:example.org");
  expect(daemon.said).toHaveLength(6);
  home.system += 3_600_000;
  await unsigned("@mallory:example.org");
  expect(daemon.said).toHaveLength(7);
  expect(daemon.said.every(({ type }) => type === EventTypes.execRejected)).toBe(true);
  expect(reasons()).toEqual({ unsigned: 44, binding_mismatch: 1 });
});

test("a stolen request that arrives before the original is answered to nobody, and keeps it from nothing", async () => {
  const content = fresh();
  await send(content, { sender: "@mallory:example.org" });
  expect(daemon.said).toEqual([]);
  await send(content);
  expect(daemon.started).toEqual([content.invocation_id]);
});

test("a cancel ends a run once; served again it does nothing", async () => {
  const content = fresh();
  await send(content);
  const { executions } = daemon.tables;
  const known = () => executions.byInvocation(String(content.invocation_id));
  const run_id = known()?.run_id ?? "";
  executions.setState(run_id, "starting");
  const cancel = {
    invocation_id: content.invocation_id,
    reason: "enough",
    created_at: at(0),
    nonce: "cancel",
  };
  const event = eventOf(signed(cancel, { type: EventTypes.execCancel }), { type: EventTypes.execCancel });
  for (let times = 0; times < 2; times++) {
    const execution = known();
    if (execution) await daemon.executor.cancel(execution, event);
  }
  expect(daemon.cancelled).toEqual([run_id]);
});

test("who has filled the memory for his nonces can still end what he began", async () => {
  const content = fresh();
  await send(content);
  const { executions } = daemon.tables;
  const known = () => executions.byInvocation(String(content.invocation_id));
  executions.setState(known()?.run_id ?? "", "starting");
  daemon.db.run(
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO nonces SELECT ?, 'n' || i, ? FROM n",
    known()?.key_id ?? "",
    Date.parse(at(3_600_000)),
  );
  const next = fresh();
  await send(next);
  expect(daemon.started).not.toContain(next.invocation_id);
  const cancel = { invocation_id: content.invocation_id, reason: "enough", created_at: at(0), nonce: "last" };
  const event = eventOf(signed(cancel, { type: EventTypes.execCancel }), { type: EventTypes.execCancel });
  const execution = known();
  if (execution) await daemon.executor.cancel(execution, event);
  expect(daemon.cancelled).toEqual([execution?.run_id]);
});

test("what was let through and has not been started yet can be cancelled, and is not started later", async () => {
  const content = fresh();
  await send(content);
  const asked: string[] = [];
  const absent = () => Promise.reject(mxError("MX_NOT_FOUND", { what: "run", name: "", hint: "" }));
  const runner = { on: () => {}, cancel: absent, start: async () => void asked.push("start") };
  restart({ runner: runner as unknown as RunnerClient });
  const { executions } = daemon.tables;
  const known = () => executions.byInvocation(String(content.invocation_id));
  expect(known()?.state).toBe("admitted");
  await daemon.runs.cancel(known()?.run_id ?? "");
  await daemon.executor.resumeAdmitted();
  await expect.poll(() => known()?.state).toBe("ended");
  expect(known()?.end).toMatchObject({ outcome: "cancelled", exit_code: null });
  expect(asked).toEqual([]);
  const finished = daemon.said.filter(({ type }) => type === EventTypes.execFinished);
  expect(finished[0]).toMatchObject({ content: { outcome: "cancelled" } });
  daemon.runs.close();
});

const REMOVED = mxError("MX_STORE_DAMAGED", { file: "audit.jsonl", detail: "somebody removed it", hint: "" });

test.each([FULL, REMOVED])(
  "what cannot be put on record ($code) does not run and burns nothing; who may ask is told, strangers are not",
  async (error) => {
    home.trouble = error;
    const content = fresh();
    await send(content);
    expect(daemon.started).toEqual([]);
    expect(daemon.said).toEqual([
      expect.objectContaining({ content: expect.objectContaining({ reason: "over_capacity" }) }),
    ]);
    await send({});
    expect(daemon.said).toHaveLength(1);
    home.trouble = null;
    await send(content);
    expect(daemon.started).toEqual([content.invocation_id]);
  },
);

test("requests that came together are on record by one sync, in their order, and all are handed on", async () => {
  const contents = [fresh(), fresh(), fresh()];
  await sendTogether(...contents);
  const ids = contents.map(({ invocation_id }) => invocation_id);
  expect(daemon.started).toEqual(ids);
  expect(daemon.audit.map(({ invocation_id }) => invocation_id)).toEqual(ids);
  expect(home.syncs).toBe(1);
});

test("of requests that came together with one nonce, or one invocation id, the first alone runs", async () => {
  const first = fresh({ nonce: "once" });
  const { invocation_id, idempotency_key } = first;
  const last = fresh();
  await sendTogether(first, first, fresh({ nonce: "once" }), fresh({ invocation_id, idempotency_key }), last);
  expect(daemon.started).toEqual([invocation_id, last.invocation_id]);
  expect(reasons()).toEqual({ replayed: 3 });
});

test("requests that came together are counted against each other", async () => {
  const contents = Array.from({ length: 6 }, () => fresh());
  await sendTogether(...contents);
  const reached = contents.slice(0, 4);
  expect(daemon.started).toEqual(reached.map(({ invocation_id }) => invocation_id));
  expect(daemon.audit.slice(4).map(({ reason }) => reason)).toEqual(["over_capacity", "over_capacity"]);
});

test("of requests that came together nothing runs, is answered or is burned where the record cannot be written", async () => {
  home.trouble = FULL;
  const contents = [fresh(), fresh({ command: ["rm"] }), fresh()];
  await expect(sendTogether(...contents)).rejects.toMatchObject({ code: "MX_CANNOT_WRITE" });
  expect([daemon.started, daemon.said, daemon.audit]).toEqual([[], [], []]);
  home.trouble = null;
  await sendTogether(...contents);
  expect(daemon.started).toEqual([contents[0]?.invocation_id, contents[2]?.invocation_id]);
  expect(daemon.said).toEqual([
    expect.objectContaining({ content: expect.objectContaining({ reason: "policy_denied" }) }),
  ]);
});

test("requests that come together again after a crash are not decided on again", async () => {
  const contents = [fresh(), fresh()];
  const came = contents.map((content) =>
    eventOf(content, { event_id: `$together-${content.invocation_id}` }),
  );
  await daemon.executor.onRequests(came);
  restart();
  await daemon.executor.onRequests([...came, eventOf(fresh(), { event_id: "$another" })]);
  expect(daemon.started).toHaveLength(1);
  expect(daemon.audit).toHaveLength(1);
});

test("what strangers were refused is counted also where the daemon is killed before it has summed that up", async () => {
  const stranger = { sender: "@mallory:example.org" };
  await send(request({ created_at: at(0), expires_at: at(120_000) }), stranger);
  restart();
  await send(request({ created_at: at(0), expires_at: at(120_000) }), stranger);
  await send({}, stranger);
  // While the log cannot be written the count is kept.
  const full = () => {
    throw mxError("MX_CANNOT_WRITE", { path: "audit.jsonl", detail: "full", hint: "" });
  };
  expect(() => daemon.early.sumUp(full)).toThrow();
  expect(reasons()).toEqual({ unsigned: 2, malformed_request: 1 });
  expect(reasons()).toEqual({});
});

import { EventTypes } from "@mx-agent/protocol";
import type { RunnerClient } from "@mx-agent/runner";
import { expect, test, vi } from "vitest";
import { daemon, FULL, fresh, home, restart, send, sendTogether } from "./executing.ts";
import { type Content, NOW } from "./support.ts";

test("that a policy was read is on record before what it decided, also where that could not be written at first", async () => {
  const changed = () => {
    home.readPolicy = (audit) => {
      home.readPolicy = null;
      audit.policy("ok", "digest");
    };
  };
  changed();
  await send(fresh());
  expect(daemon.audit.map(({ kind }) => kind)).toEqual(["policy", "decision"]);
  daemon.audit.length = 0;
  home.trouble = FULL;
  changed();
  await expect(sendTogether(fresh(), fresh())).rejects.toMatchObject({ code: "MX_CANNOT_WRITE" });
  expect(daemon.audit).toEqual([]);
  home.trouble = null;
  await send(fresh());
  expect(daemon.audit.map(({ kind }) => kind)).toEqual(["policy", "decision"]);
});

test("what it was granted is kept with a run, over restarts", async () => {
  const content = fresh();
  await send(content);
  restart();
  expect(daemon.tables.executions.byInvocation(String(content.invocation_id))?.granted).toMatchObject({
    argv: ["/usr/bin/sh", "-c", "true"],
    sandbox: { backend: "none" },
    limits: { max_runtime_ms: 60_000 },
  });
});

test("what could not be made to start is started as soon as it can be, once, and not when it has expired meanwhile", async () => {
  vi.useFakeTimers({ now: NOW, toFake: ["setTimeout", "clearTimeout"] });
  const asked: string[] = [];
  const runner = {
    on: () => {},
    start: async ({ run_id }: { run_id: string }) => {
      asked.push(run_id);
      return { end: null };
    },
  };
  restart({ runner: runner as unknown as RunnerClient });
  const { executions } = daemon.tables;
  const stateOf = ({ invocation_id }: Content) => executions.byInvocation(String(invocation_id))?.state;
  const setState = vi.spyOn(executions, "setState").mockImplementation(() => {
    throw FULL;
  });
  const content = fresh();
  await send(content);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(stateOf(content)).toBe("admitted");
  expect(asked).toEqual([]);
  setState.mockRestore();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked).toHaveLength(1);
  expect(stateOf(content)).toBe("running");

  vi.spyOn(executions, "setState").mockImplementation(() => {
    throw FULL;
  });
  const late = fresh();
  await send(late);
  home.system += 120_000;
  vi.restoreAllMocks();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(stateOf(late)).toBe("rejected");
  expect(asked).toHaveLength(1);
  daemon.executor.close();
  daemon.runs.close();
  vi.useRealTimers();
});

test("what its operator cancelled without a session does not start with the next one, and its requester is told", async () => {
  const [waiting, held] = [fresh(), fresh()];
  await send(waiting);
  await send(held);
  const runner = { on: () => {}, start: () => Promise.reject(new Error("started")) };
  restart({ runner: runner as unknown as RunnerClient });
  const { executions } = daemon.tables;
  const known = ({ invocation_id }: Content) => executions.byInvocation(String(invocation_id));
  executions.setState(known(held)?.run_id ?? "", "held");
  for (const one of [waiting, held]) executions.setCancelled(known(one)?.run_id ?? "", NOW);
  await daemon.executor.resumeAdmitted();
  await expect.poll(() => known(waiting)?.state).toBe("ended");
  expect(known(waiting)?.end).toMatchObject({ outcome: "cancelled" });
  expect(known(held)).toMatchObject({ state: "rejected", reason: "approval_denied" });
  const said = daemon.said.map(({ type }) => type);
  expect(said).toEqual(expect.arrayContaining([EventTypes.execFinished, EventTypes.execRejected]));
  daemon.runs.close();
});

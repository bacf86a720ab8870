import { getEventListeners } from "node:events";
import type { CallContext } from "@mx-agent/ipc";
import { expect, test } from "vitest";
import type { Daemon } from "../../src/daemon.ts";
import { invocationMethods } from "../../src/methods/invocation.ts";
import { nothingRan } from "../../src/run/nothing-ran.ts";

/** A wait for a run of this machine that goes on for so many looks. */
function waiting(looks: number, signal: AbortSignal, onLook: () => void) {
  let left = looks;
  const execution = { run_id: "run", invocation_id: "inv_1", request_id: "req_1", reason: null };
  const executions = {
    byInvocation: () => execution,
    byRun: () => {
      onLook();
      const over = left-- <= 0;
      return {
        ...execution,
        state: over ? "ended" : "running",
        end: over ? nothingRan("cancelled", 0) : null,
      };
    },
  };
  const daemon = { tables: { executions, requests: { get: () => undefined } } } as unknown as Daemon;
  const { handle } = invocationMethods(daemon)["invocation.wait"];
  return handle({ invocation_id: "inv_1" }, { signal } as CallContext<"invocation.wait">);
}

test("who waits long for a run costs no more than who waits for a moment", async () => {
  const { signal } = new AbortController();
  let most = 0;
  const result = await waiting(6, signal, () => {
    most = Math.max(most, getEventListeners(signal, "abort").length);
  });
  expect(result).toMatchObject({ type: "finished", result: { outcome: "cancelled" } });
  expect(most).toBeLessThanOrEqual(1);
});

test("who no longer waits for a run is let go at once", async () => {
  const caller = new AbortController();
  const wait = waiting(Number.POSITIVE_INFINITY, caller.signal, () => {});
  caller.abort(new Error("gone"));
  await expect(wait).rejects.toThrow("gone");
});

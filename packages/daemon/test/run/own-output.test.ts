import type { RunnerClient } from "@mx-agent/runner";
import { expect, test } from "vitest";
import { sendOwnOutput } from "../../src/run/own-output.ts";
import type { ExecutionState, ExecutionTable } from "../../src/state/executions.ts";

/** What is shown of a run that goes through these states, one at each look. */
async function shown(states: ExecutionState[]): Promise<string> {
  const text = "hello";
  let state: ExecutionState | undefined;
  let got = "";
  const runner = {
    read: async (_run: string, stream: string, offset: number) => {
      if (state !== "running" && state !== "ended") throw new Error("no such run");
      return Buffer.from(stream === "stdout" ? text.slice(offset) : "");
    },
  };
  await sendOwnOutput({
    runner: runner as unknown as RunnerClient,
    executions: {
      byRun: () => {
        state = states.shift() ?? state;
        return { state };
      },
    } as unknown as ExecutionTable,
    run_id: "run",
    indexDir: "/nowhere",
    since_ts: null,
    follow: true,
    signal: new AbortController().signal,
    send: async (item) => {
      if (item.type === "chunk") got += Buffer.from(item.data, "base64").toString();
    },
  });
  return got;
}

test("output is followed from a run's admission to its end", async () => {
  expect(await shown(["admitted", "starting", "running", "running", "ended"])).toBe("hello");
});

test("of what was refused there is none, and nobody waits for it", async () => {
  expect(await shown(["held", "rejected"])).toBe("");
});

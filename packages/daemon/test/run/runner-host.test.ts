/** What a daemon does about runners that die. */
import type { RunnerClient, RunnerEvents } from "@mx-agent/runner";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RunnerHost } from "../../src/run/runner-host.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** The end of a connection to a runner, which can die. */
function runner(): { client: RunnerClient; die(): void } {
  const listeners: RunnerEvents["closed"][] = [];
  const client = {
    pid: 1,
    on: (event: string, listener: RunnerEvents["closed"]) =>
      void (event === "closed" && listeners.push(listener)),
    close: () => {},
  };
  return {
    client: client as unknown as RunnerClient,
    die: () => {
      for (const listener of listeners) listener();
    },
  };
}

test("a runner that dies is replaced at once; those that die at once are not started as fast as can be", async () => {
  let started = 0;
  let current = runner();
  let deadly = false;
  const host = await RunnerHost.start({
    start: async () => {
      started++;
      current = runner();
      const { client, die } = current;
      if (deadly) setTimeout(die, 10);
      return client;
    },
    logger: pino({ level: "silent" }),
  });
  await vi.advanceTimersByTimeAsync(60_000);
  current.die();
  await vi.advanceTimersByTimeAsync(1);
  expect(started).toBe(2);
  await vi.advanceTimersByTimeAsync(60_000);
  deadly = true;
  current.die();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(started).toBeGreaterThan(20);
  expect(started).toBeLessThan(50);
  deadly = false;
  await vi.advanceTimersByTimeAsync(60_000);
  const before = started;
  current.die();
  await vi.advanceTimersByTimeAsync(1);
  expect(started).toBe(before + 1);
  host.close();
});

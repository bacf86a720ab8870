/**
 * A day of traffic, one run a minute, squeezed: twice, so that what grew in the first is seen to be used again in the
 * second. In between everything that has ended is forgotten, as it is after its week.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import type { Machine } from "../../../cli/test/support/machine.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box, scale } from "../crash/support/box.ts";

const RUNS = Math.max(24, Math.round(1_440 * scale()));
const AT_ONCE = 3;
const OUTPUT_BYTES = 100_000;
const MEBI = 1024 * 1024;
/** What a short run may still gain by warming up; over a day it is nothing beside what a leak would be. */
const SLACK_BYTES = 24 * MEBI;

let they: TwoDaemons;
let boxes: Box[];
beforeAll(async () => {
  they = await twoDaemons({ encrypted: true });
  boxes = await Promise.all([Box.of(they.laptop), Box.of(they.builder)]);
});
afterAll(() => they?.close());

test(`two days of ${RUNS} runs: memory, open files and files on disk stay what they were`, async () => {
  await traffic(Math.ceil(RUNS / 4));
  await forget();
  const before = await settled();
  await traffic(RUNS);
  await forget();
  const first = await settled();
  await traffic(RUNS);
  await forget();
  const second = await settled();
  process.stdout.write(`${JSON.stringify({ runs: RUNS, before, first, second })}\n`);
  for (const [n, now] of second.entries()) {
    const then = first[n];
    expect(now.handles).toBeLessThanOrEqual((then?.handles ?? 0) + 3);
    expect(now.memory).toBeLessThanOrEqual((then?.memory ?? 0) * 1.2 + SLACK_BYTES);
    expect(now.state_db).toBeLessThanOrEqual((then?.state_db ?? 0) * 1.2 + MEBI);
    expect(now.crypto).toBeLessThanOrEqual((then?.crypto ?? 0) * 1.2 + MEBI);
    expect(now.spools).toBe(0);
    expect(now.chunks).toBe(0);
    expect(now.waiting).toBe(0);
  }
});

async function traffic(runs: number): Promise<void> {
  const [laptop] = boxes;
  let begun = 0;
  const worker = async () => {
    while (begun < runs) {
      const number = begun++;
      const client = await laptop?.connect();
      if (!client) throw new Error("no laptop");
      const call = client.call("exec.run", {
        room: they.room,
        agent: "builder",
        command: ["sh", "-c", `cat; head -c ${OUTPUT_BYTES} /dev/zero; exit ${number % 100}`],
        cwd: they.project,
        env: {},
        timeout_ms: null,
        stdin: true,
        detach: false,
      });
      await call.send({ type: "stdin", data: Buffer.from("input").toString("base64") });
      await call.send({ type: "eof" });
      let bytes = 0;
      for await (const item of call.output)
        if (item.type === "chunk") bytes += Buffer.from(item.data, "base64").length;
      const ended = await call.result;
      client.close();
      expect(bytes).toBe(OUTPUT_BYTES + "input".length);
      expect(ended).toMatchObject({ type: "finished", result: { exit_code: number % 100, complete: true } });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** What a week does. */
async function forget(): Promise<void> {
  for (const box of boxes) {
    await eventually(
      async () => (await box.ask("daemon.status", {})).outbox_depth === 0,
      "sending everything",
    );
    await eventually(async () => {
      await box.ask("invocation.prune", { older_than_ms: 1 });
      return (await box.ask("invocation.list", { side: null, running: false, limit: 10 })).length === 0;
    }, "forgetting");
  }
}

interface Size {
  who: string;
  /** Of daemon and runner, bytes. */
  memory: number;
  handles: number;
  state_db: number;
  crypto: number;
  spools: number;
  chunks: number;
  waiting: number;
}

/** Looked at until nothing gets smaller any more: garbage is collected when there is time for it. */
async function settled(): Promise<Size[]> {
  let last = await Promise.all(boxes.map(sizeOf));
  await eventually(async () => {
    const now = await Promise.all(boxes.map(sizeOf));
    const shrinks = now.some((size, n) => size.memory < (last[n]?.memory ?? 0) - MEBI);
    last = now;
    return !shrinks;
  });
  return last;
}

async function sizeOf(box: Box): Promise<Size> {
  const { machine } = box;
  const status = await box.ask("daemon.status", {});
  const pids = [status.pid, status.runner.pid].filter((pid) => pid !== null);
  return {
    who: machine.name,
    memory: sum(pids.map(residentBytes)),
    handles: sum(pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length)),
    state_db: bytesIn(machine, (name) => name.startsWith("state.db")),
    crypto: bytesIn(machine, (name) => name.startsWith("crypto")),
    spools: readdirSync(join(machine.home, "data", "runs", "runs")).length,
    chunks: readdirSync(join(machine.home, "data", "chunks")).length,
    waiting: status.outbox_depth,
  };
}

function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return 1024 * Number(line?.[1] ?? 0);
}

function bytesIn(machine: Machine, wanted: (name: string) => boolean): number {
  const data = join(machine.home, "data");
  const files = readdirSync(data, { recursive: true, encoding: "utf8" }).filter(wanted);
  return sum(files.map((name) => statSync(join(data, name)).size));
}

function sum(numbers: number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}

/**
 * Requests that come together share the commits of their decisions. The daemon is ended with SIGKILL in the midst of
 * them, started again, and what became of each is looked at: a line that its command appends to a file.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EventTypes } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { logFiles } from "../../src/audit/files.ts";
import { type Content, isAbout, type Stage, setTheStage } from "../hostile/support/stage.ts";
import { Box, scale } from "./support/box.ts";

/** More than one group, and one of them not full. */
const REQUESTS = 20;

let stage: Stage;
let builder: Box;
beforeAll(async () => {
  stage = await setTheStage({ maxConcurrent: REQUESTS });
  builder = await Box.of(stage.builder);
});
afterAll(() => stage?.close());

const points = ["admit.after_audit", "inbox.before_done", "run.after_starting", "run.after_start:5"];
if (scale() >= 1) points.push("admit.before_audit:3", "audit.after_sync:2", "run.before_starting");

test.each(points)(
  "requests that came together, and the daemon is killed at %s: each runs once",
  async (point) => {
    await builder.kill();
    const requests = Array.from({ length: REQUESTS }, (_, n) => stage.request(`${point} ${n}`));
    for (const content of requests) await send(content);
    builder.start(point);
    await builder.died;
    // One sync of the log put the first group on record, of which nothing had run yet.
    if (point === "admit.after_audit") {
      expect(onRecord(requests)).toHaveLength(16);
      expect(await ran(point)).toEqual([]);
    }
    builder.start();
    for (const content of requests) await stage.alice.until(isAbout(content, EventTypes.execFinished));
    const marks = Array.from({ length: REQUESTS }, (_, n) => `${point} ${n}`);
    expect((await ran(point)).sort()).toEqual(marks.sort());
  },
);

const send = (content: Content) =>
  stage.alice.send(
    stage.room,
    EventTypes.execRequest,
    stage.alice.sign(stage.room, EventTypes.execRequest, content),
  );

async function ran(point: string): Promise<string[]> {
  return (await stage.ran()).filter((mark) => mark.startsWith(`${point} `));
}

function onRecord(requests: readonly Content[]): unknown[] {
  const ids = new Set(requests.map(({ invocation_id }) => invocation_id));
  return logFiles(join(stage.builder.home, "data", "audit"))
    .flatMap((file) => readFileSync(file, "utf8").split("\n").filter(Boolean))
    .map((line): Content => JSON.parse(line))
    .filter(({ kind, invocation_id }) => kind === "decision" && ids.has(invocation_id));
}

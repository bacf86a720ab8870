/** How long the caller waits for output that it lacks, once it knows that the run is over. */
import { createHash } from "node:crypto";
import { EventTypes, type ExecFinished } from "@mx-agent/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { chunkContent } from "../../src/publish/chunk-content.ts";
import { type OutputWanted, Pending } from "../../src/request/pending.ts";
import { request } from "./support/request.ts";

const MINUTE_MS = 60_000;
const LINE = Buffer.from("all of it\n");

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A caller who knows that the run is over and has none of its one line of output. */
function waiting({
  wanted = "all",
  take = async () => {},
}: {
  wanted?: OutputWanted;
  take?: () => Promise<void>;
} = {}) {
  const asked = { questions: 0, resumes: 0, away: 0 };
  const other = { answers: false, sends: false };
  const line = {
    tell: (type: string) => {
      if (type !== EventTypes.streamResume) return;
      asked.resumes++;
      if (other.sends) pending.stream(chunk);
    },
    inquire: () => {
      asked.questions++;
      if (other.answers) pending.heard();
    },
    emit: async ({ type }: { type: string }) => {
      if (type === "away") asked.away++;
      else await take();
    },
    now: Date.now,
    media: { download: () => Promise.reject(new Error("nothing there")) },
  };
  const pending = new Pending(request, line, wanted);
  const done = { complete: "not yet" as boolean | null | "not yet" };
  void pending.finished(finished).then(({ complete }) => {
    done.complete = complete;
  });
  return { pending, other, asked, done, chunkCame: () => pending.stream(chunk) };
}

describe("output that is missing when the run is over", () => {
  test("is not waited for once the other machine says that it has pruned it", async () => {
    const { pending, done } = waiting();
    await vi.advanceTimersByTimeAsync(1_000);
    pending.forgotten();
    await vi.advanceTimersByTimeAsync(0);
    expect(done.complete).toBe(false);
  });

  test("is taken all the same where it had come before that was said, however slow its reader is", async () => {
    const slow = Promise.withResolvers<void>();
    const { pending, done, chunkCame } = waiting({ take: () => slow.promise });
    chunkCame();
    pending.forgotten();
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(done.complete).toBe("not yet");
    slow.resolve();
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(done.complete).toBe(true);
  });

  test("is fetched from a machine that was away for minutes", async () => {
    const { other, asked, done } = waiting();
    await vi.advanceTimersByTimeAsync(5 * MINUTE_MS);
    expect(done.complete).toBe("not yet");
    expect(asked.away).toBe(1);
    Object.assign(other, { answers: true, sends: true });
    await vi.advanceTimersByTimeAsync(11_000);
    expect(done.complete).toBe(true);
  });

  test("is given up half a minute after a machine that is there has nothing more", async () => {
    const { other, asked, done } = waiting();
    other.answers = true;
    await vi.advanceTimersByTimeAsync(28_000);
    expect(done.complete).toBe("not yet");
    await vi.advanceTimersByTimeAsync(6_000);
    expect(done.complete).toBe(false);
    expect(asked.away).toBe(0);
  });

  test("is not asked for again and again on a slow line, which brings what is here already", async () => {
    const { pending, other, asked, done } = waiting();
    for (let second = 0; second < 60; second++) {
      pending.stream(later);
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(done.complete).toBe("not yet");
    expect(asked.questions).toBeLessThan(4);
    expect(asked.resumes).toBeLessThan(6);
    Object.assign(other, { answers: true, sends: true });
    await vi.advanceTimersByTimeAsync(11_000);
    expect(done.complete).toBe(true);
  });

  test("is given up at last when the machine does not come back, and not asked for without a pause", async () => {
    const { asked, done } = waiting();
    await vi.advanceTimersByTimeAsync(9 * MINUTE_MS);
    expect(done.complete).toBe("not yet");
    await vi.advanceTimersByTimeAsync(2 * MINUTE_MS);
    expect(done.complete).toBe(false);
    expect(asked.questions).toBeLessThan(80);
  });

  test("is not taken for whole where it is not what the other side says that it sent", async () => {
    const { pending, chunkCame } = waiting();
    chunkCame();
    const other = {
      ...finished,
      stdout_sha256: createHash("sha256").update("something else").digest("base64"),
    };
    expect((await pending.finished(other)).complete).toBe(false);
  });

  test("keeps nobody who only looks at it waiting for a machine that is away", async () => {
    const { done } = waiting({ wanted: "there" });
    await vi.advanceTimersByTimeAsync(40_000);
    expect(done.complete).toBe(false);
  });

  test("is not waited for by who wants to know the end alone", async () => {
    const { done, asked } = waiting({ wanted: "none" });
    await vi.advanceTimersByTimeAsync(0);
    expect(done.complete).toBe(null);
    expect(asked).toEqual({ questions: 0, resumes: 0, away: 0 });
  });

  test("is not missing as long as its reader has not taken it", async () => {
    const reader = Promise.withResolvers<void>();
    const { done, asked, chunkCame } = waiting({ take: () => reader.promise });
    chunkCame();
    await vi.advanceTimersByTimeAsync(30 * MINUTE_MS);
    expect(done.complete).toBe("not yet");
    expect(asked.resumes).toBeLessThan(80);
    reader.resolve();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(done.complete).toBe(true);
  });

  test("is neither there nor lost for a reader who left before it came", async () => {
    const { pending, asked, done } = waiting();
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    pending.close();
    const { questions } = asked;
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(done.complete).toBe(null);
    expect(asked.questions).toBe(questions);
  });
});

const place = { invocation_id: request.invocation_id, stream: "stdout", seq: 0 } as const;
const chunk = { type: EventTypes.streamChunk, content: chunkContent(place, LINE, 0) };
const later = { type: EventTypes.streamChunk, content: chunkContent({ ...place, seq: 1 }, LINE, 0) };
const finished: ExecFinished = {
  invocation_id: request.invocation_id,
  exit_code: 0,
  signal: null,
  duration_ms: 1,
  stdout_bytes: LINE.length,
  stderr_bytes: 0,
  truncated: false,
  artifact_mxc: null,
  outcome: "exited",
  stdout_chunks: 2,
  stderr_chunks: 1,
  stdout_sha256: createHash("sha256").update(LINE).digest("base64"),
};

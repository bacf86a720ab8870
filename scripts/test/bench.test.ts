import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { type Row, verdictOf } from "../bench/row.ts";
import { inTurns, inTurnsUntilDecided } from "../bench/sampling.ts";
import { compared, judged, median, quantile, ratioInterval, reported } from "../bench/stats.ts";
import { table } from "../bench/table.ts";

const samples = fc.array(fc.double({ min: 0.1, max: 1000, noNaN: true }), { minLength: 5, maxLength: 60 });

describe("the benchmarks' arithmetic", () => {
  test("a quantile lies between the smallest and the largest sample, whatever their order", () => {
    fc.assert(
      fc.property(samples, fc.double({ min: 0, max: 1, noNaN: true }), (list, q) => {
        const value = quantile(list, q);
        expect(value).toBeGreaterThanOrEqual(Math.min(...list));
        expect(value).toBeLessThanOrEqual(Math.max(...list));
        expect(quantile([...list].reverse(), q)).toBe(value);
      }),
    );
    expect(median([3, 1, 2])).toBe(2);
    expect(median([1, 2])).toBe(1.5);
  });

  test("a ratio's interval holds 1 when both lists are the same, and is the same every time", () => {
    fc.assert(
      fc.property(samples, (list) => {
        const [low, high] = ratioInterval(list, list);
        expect(low).toBeLessThanOrEqual(1);
        expect(high).toBeGreaterThanOrEqual(1);
        expect(ratioInterval(list, list)).toEqual([low, high]);
      }),
      { numRuns: 20 },
    );
  });

  test("an aim is met or missed only when the whole interval says so", () => {
    expect(verdictOf({ atMost: 0.5 }, [0.2, 0.4])).toBe("met");
    expect(verdictOf({ atMost: 0.5 }, [0.6, 0.9])).toBe("missed");
    expect(verdictOf({ atMost: 0.5 }, [0.4, 0.6])).toBe("undecided");
    expect(verdictOf({ atLeast: 3 }, [3.1, 4])).toBe("met");
    expect(verdictOf({ atLeast: 3 }, [1, 2])).toBe("missed");
    expect(verdictOf({ atLeast: 3 }, [2, 4])).toBe("undecided");
  });

  test("what is four times as slow is not called as fast", () => {
    const fast = [1, 1.1, 0.9, 1, 1.05, 0.95];
    const slow = fast.map((value) => value * 4);
    const row = { what: "x", against: "y", unit: "ms", aim: "as fast", must: { atMost: 1 } };
    expect(compared(row, slow, fast)).toMatchObject({ ratio: 4, verdict: "missed", n: 6 });
    expect(compared(row, fast, slow)).toMatchObject({ ratio: 0.25, verdict: "met" });
  });

  test("the table is one that markdown understands", () => {
    const row: Row = {
      ...compared({ what: "send", against: "Synapse", unit: "ms", aim: "" }, [1, 2, 3], [2, 4, 6]),
    };
    const lines = table([row]).split("\n");
    expect(lines).toHaveLength(3);
    expect(new Set(lines.map((line) => line.split("|").length)).size).toBe(1);
    expect(lines[2]).toContain("reported");
  });
});

const say = () => {};
const row = { what: "x", against: "y", unit: "ms", aim: "as fast", must: { atMost: 1 } };
/** Answers one number after another, from the beginning again when they are used up. */
const cycle = (values: number[]) => {
  let i = 0;
  return async () => values[i++ % values.length] ?? Number.NaN;
};

describe("the benchmarks' sampling", () => {
  test("takes one of each in turn, without those that warm up", async () => {
    const order: string[] = [];
    const note = (name: string) => async () => order.push(name);
    const samples = await inTurns({ a: note("a"), b: note("b") }, { n: 3, warm: 1, say });
    expect(order.join("")).toBe("abababab");
    expect(samples).toEqual({ a: [3, 5, 7], b: [4, 6, 8] });
  });

  test("goes on until a verdict is there, and no further than it may", async () => {
    const rowsOf = ({ ours, theirs }: Record<"ours" | "theirs", number[]>) => [compared(row, ours, theirs)];
    const quick = { ours: cycle([1, 2, 3]), theirs: cycle([10, 11]) };
    const [sure] = await inTurnsUntilDecided(quick, { n: 20, atMost: 100, warm: 0, say }, rowsOf);
    expect(sure).toMatchObject({ verdict: "met", n: 20 });
    const alike = { ours: cycle([1, 2, 3, 4, 5, 6, 7]), theirs: cycle([7, 6, 5, 4, 3, 2, 1]) };
    const [unsure] = await inTurnsUntilDecided(alike, { n: 20, atMost: 100, warm: 0, say }, rowsOf);
    expect(unsure).toMatchObject({ verdict: "undecided", n: 100 });
  });

  test("gives up a sample that never comes", async () => {
    vi.useFakeTimers();
    try {
      const sampling = inTurns({ stuck: () => new Promise<number>(() => {}) }, { n: 1, warm: 0, say });
      const given = expect(sampling).rejects.toThrow("stuck took more than 5 minutes");
      await vi.advanceTimersByTimeAsync(5 * 60_000);
      await given;
    } finally {
      vi.useRealTimers();
    }
  });

  test("gives a few samples no 95th percentile", () => {
    expect(reported({ what: "x", unit: "s" }, [1, 2, 9])).toMatchObject({ n: 3, median: 2, p95: undefined });
    const many = Array.from({ length: 21 }, (_, i) => i);
    expect(reported({ what: "x", unit: "s" }, many).p95).toBe(19);
    expect(judged(row, 3, { met: false })).toMatchObject({ n: 1, median: 3, verdict: "missed" });
  });
});

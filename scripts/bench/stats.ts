import { type Aim, type Row, verdictOf } from "./row.ts";

/** The value below which the share `q` of the samples lies; samples need no order. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

export const median = (samples: readonly number[]) => quantile(samples, 0.5);

/**
 * The 95 % interval of `statistic(ours) / statistic(theirs)` by the bootstrap: both lists drawn again with
 * replacement, 2,000 times, from a fixed seed.
 */
export function ratioInterval(
  ours: readonly number[],
  theirs: readonly number[],
  statistic: (samples: readonly number[]) => number = median,
): readonly [number, number] {
  const random = seeded(1);
  const again = (samples: readonly number[]) =>
    samples.map(() => samples[Math.floor(random() * samples.length)] ?? Number.NaN);
  const ratios = Array.from({ length: 2000 }, () => statistic(again(ours)) / statistic(again(theirs)));
  return [quantile(ratios, 0.025), quantile(ratios, 0.975)];
}

/** mulberry32: small, and the same on every machine. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A row that compares two lists of samples taken in turns in one run. */
export function compared(
  row: { what: string; against: string; unit: string; aim: string; must?: Aim },
  ours: readonly number[],
  theirs: readonly number[],
  statistic: (samples: readonly number[]) => number = median,
): Row {
  const { must, ...rest } = row;
  const interval = ratioInterval(ours, theirs, statistic);
  return {
    ...rest,
    n: ours.length,
    median: statistic(ours),
    p95: quantile(ours, 0.95),
    ratio: statistic(ours) / statistic(theirs),
    interval,
    verdict: must ? verdictOf(must, interval) : "reported",
  };
}

/** Fewer samples have no 95th percentile that says anything. */
const ENOUGH_FOR_P95 = 20;

/** A row of samples that nothing stood beside; of one number, or of many. */
export function reported(
  { what, against = "", unit }: { what: string; against?: string; unit: string },
  samples: readonly number[],
): Row {
  return {
    ...{ what, against, unit, n: samples.length, median: median(samples) },
    p95: samples.length < ENOUGH_FOR_P95 ? undefined : quantile(samples, 0.95),
    ...{ ratio: undefined, interval: undefined, aim: "reported", verdict: "reported" },
  };
}

/** A row for one number with an aim of its own; `ratio`: to what it stands against, where that is what counts. */
export function judged(
  row: { what: string; against: string; unit: string; aim: string },
  value: number,
  { met, ratio }: { met: boolean; ratio?: number },
): Row {
  return { ...reported(row, [value]), aim: row.aim, ratio, verdict: met ? "met" : "missed" };
}

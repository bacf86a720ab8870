/** What one measurement says. `against` names what stood beside it in the same run. */
export interface Row {
  what: string;
  against: string;
  /** Samples of ours. */
  n: number;
  /** Ours, in `unit`. */
  median: number;
  p95: number | undefined;
  unit: string;
  /** Ours divided by theirs. */
  ratio: number | undefined;
  /** The ratio's 95 % interval. */
  interval: readonly [number, number] | undefined;
  aim: string;
  verdict: Verdict;
}

/** `undecided`: the interval holds both sides of the aim. `reported`: there is no aim. */
export type Verdict = "met" | "missed" | "undecided" | "reported";

export interface BenchContext {
  /** 1 is the full size; MX_BENCH_SCALE makes it smaller for a look. */
  scale: number;
  /** A line of progress, on stderr. */
  say(line: string): void;
}

/** What a `packages/*\/bench/*.bench.ts` exports. */
export interface Bench {
  name: string;
  description: string;
  run(context: BenchContext): Promise<Row[]>;
}

/** Aims as ratios of ours to theirs. */
export type Aim = { atMost: number } | { atLeast: number };

export function verdictOf(aim: Aim, [low, high]: readonly [number, number]): Verdict {
  const [fine, bad] =
    "atMost" in aim ? [high <= aim.atMost, low > aim.atMost] : [low >= aim.atLeast, high < aim.atLeast];
  return fine ? "met" : bad ? "missed" : "undecided";
}

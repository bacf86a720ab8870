import type { Row } from "./row.ts";

/** So long one sample may take: what waits for longer waits for ever. */
const ONE_MS = 5 * 60_000;
/** So long it is gone on for the sake of a verdict. */
const DECIDED_WITHIN_MS = 10 * 60_000;

type Samples<K extends string> = Record<K, number[]>;
type Works<K extends string> = Readonly<Record<K, () => Promise<number>>>;

export interface Turns {
  n: number;
  /** Rounds before, that do not count. */
  warm: number;
  /** A line of progress after so many rounds. */
  every?: number;
  say(line: string): void;
}

/** Takes one sample of each in turn, `n` times. Throws where one takes for ever. */
export async function inTurns<K extends string>(works: Works<K>, turns: Turns): Promise<Samples<K>> {
  const samples = await warmedUp(works, turns.warm);
  for (let i = 1; i <= turns.n; i++) await round(works, samples, i, turns);
  return samples;
}

/** As `inTurns`, and on until no row is undecided any more: for at most so many rounds, and ten minutes. */
export async function inTurnsUntilDecided<K extends string>(
  works: Works<K>,
  turns: Turns & { atMost: number },
  rowsOf: (samples: Samples<K>) => Row[],
): Promise<Row[]> {
  const samples = await warmedUp(works, turns.warm);
  return untilDecided({ atLeast: turns.n, atMost: turns.atMost, checkEvery: turns.n }, async (i) => {
    await round(works, samples, i + 1, turns);
    return () => rowsOf(samples);
  });
}

/**
 * Samples until no row is undecided any more, or there are `atMost` rounds, or time is up. `sample` answers a function
 * that makes the rows of what there is so far.
 */
export async function untilDecided(
  { atLeast, atMost, checkEvery = 100 }: { atLeast: number; atMost: number; checkEvery?: number },
  sample: (i: number) => Promise<() => Row[]>,
): Promise<Row[]> {
  let rows: Row[] = [];
  const start = performance.now();
  for (let i = 0; i < atMost; i++) {
    const rowsSoFar = await sample(i);
    const late = i + 1 >= atLeast && performance.now() - start > DECIDED_WITHIN_MS;
    // Looking seldom keeps chance from ending it early.
    if (i + 1 < atLeast || ((i + 1) % checkEvery !== 0 && i + 1 < atMost && !late)) continue;
    rows = rowsSoFar();
    if (late || !rows.some(({ verdict }) => verdict === "undecided")) break;
  }
  return rows;
}

async function warmedUp<K extends string>(works: Works<K>, warm: number): Promise<Samples<K>> {
  const names = Object.keys(works) as K[];
  for (let i = 0; i < warm; i++) for (const name of names) await inTime(name, works[name]);
  return Object.fromEntries(names.map((name) => [name, [] as number[]])) as Samples<K>;
}

async function round<K extends string>(
  works: Works<K>,
  samples: Samples<K>,
  i: number,
  { n, every = 20, say }: Turns,
): Promise<void> {
  const names = Object.keys(works) as K[];
  for (const name of names) samples[name].push(await inTime(name, works[name]));
  if (i % every !== 0) return;
  say(`${i} of ${n}: ${names.map((name) => `${name} ${samples[name].at(-1)?.toFixed(2)}`).join(", ")}`);
}

async function inTime(name: string, work: () => Promise<number>): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} took more than ${ONE_MS / 60_000} minutes`)), ONE_MS);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Timers of Node end at 2^31 - 1 ms, and what is longer would be over at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** A timer that can be raced, and taken back; `ms` may be negative. After 24 days it has elapsed in any case. */
export function waitUntil(ms: number): { done: Promise<"elapsed">; cancel(): void } {
  let timer: NodeJS.Timeout | undefined;
  const done = new Promise<"elapsed">((resolve) => {
    timer = setTimeout(() => resolve("elapsed"), Math.min(Math.max(0, ms), LONGEST_MS));
  });
  return { done, cancel: () => clearTimeout(timer) };
}

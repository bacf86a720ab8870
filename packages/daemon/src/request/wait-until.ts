/** A timer that can be raced, and taken back; `ms` may be negative. */
export function waitUntil(ms: number): { done: Promise<"elapsed">; cancel(): void } {
  let timer: NodeJS.Timeout | undefined;
  const done = new Promise<"elapsed">((resolve) => {
    timer = setTimeout(() => resolve("elapsed"), Math.max(0, ms));
  });
  return { done, cancel: () => clearTimeout(timer) };
}

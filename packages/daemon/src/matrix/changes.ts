/** Lets others wait until something has changed, without polling for it. */
export class Changes {
  readonly #waiting = new Set<() => void>();

  announce(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves at the next change, or after `timeoutMs`; rejects when the signal aborts. */
  async next(signal: AbortSignal, timeoutMs: number): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => reject(signal.reason);
    const timer = setTimeout(resolve, timeoutMs);
    this.#waiting.add(resolve);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(resolve);
      signal.removeEventListener("abort", abort);
    }
  }
}

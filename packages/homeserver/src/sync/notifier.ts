/** Wakes long polls. A waiter belongs to a user; all of a user's devices wake together. */
export class Notifier {
  readonly #waiters = new Map<string, Set<() => void>>();
  #stopped = false;

  /** Something that these users can see has happened, and is on disk. */
  wake(userIds: Iterable<string>): void {
    if (this.#waiters.size === 0) return;
    for (const userId of userIds) {
      const waiters = this.#waiters.get(userId);
      if (waiters === undefined) continue;
      this.#waiters.delete(userId);
      for (const waiter of waiters) waiter();
    }
  }

  /** True from the moment that the server stops: nobody waits any more. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Resolves when the user is woken, after `ms`, or when `onClosed` calls back. */
  wait(userId: string, ms: number, onClosed: (callback: () => void) => void): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiters = this.#waiters.get(userId) ?? new Set();
    this.#waiters.set(userId, waiters);
    const done = () => {
      clearTimeout(timer);
      waiters.delete(done);
      if (waiters.size === 0 && this.#waiters.get(userId) === waiters) this.#waiters.delete(userId);
      resolve();
    };
    const timer = setTimeout(done, ms);
    waiters.add(done);
    onClosed(done);
    return promise;
  }

  /** Lets everybody go, for good. */
  stop(): void {
    this.#stopped = true;
    this.wake([...this.#waiters.keys()]);
  }
}

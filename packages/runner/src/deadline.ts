/** Timers of Node end at 2^31 - 1 ms. */
const LONGEST_MS = 2 ** 31 - 1;

/** Calls once when that much monotonic time has passed; a changed clock of the day moves nothing. */
export class Deadline {
  readonly #at: number;
  readonly #reached: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(milliseconds: number, reached: () => void) {
    this.#at = performance.now() + milliseconds;
    this.#reached = reached;
    this.#arm();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    const left = this.#at - performance.now();
    this.#timer =
      left <= 0
        ? setTimeout(this.#reached, 0)
        : setTimeout(() => this.#arm(), Math.min(Math.ceil(left), LONGEST_MS));
  }
}

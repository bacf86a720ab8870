import { STREAM_RESUME_MS } from "@mx-agent/protocol";

/** The pause between two questions; while nobody answers it doubles, up to a few seconds. */
const ASK_EVERY_MS = 2_000;
const MAX_PAUSE_MS = 10_000;
/** So long an executing side that does not answer at all is waited for: it may be restarted, or without a network. */
const AWAY_MS = 10 * 60_000;
/** So long it has not answered when that is said. */
const SAID_AFTER_MS = 10_000;

/**
 * How long output is waited for that is missing. Half a minute is for a side that answers and sends nothing new: what it
 * has would be there by then. A side that is silent is away, which says nothing about what it has.
 */
export class Patience {
  readonly #maxAway: number;
  #heard = false;
  #quiet = 0;
  #away = 0;
  #slow = 0;
  #pause = ASK_EVERY_MS;

  /** `waits`: whether a side that is away is waited for until it is back. */
  constructor({ waits }: { waits: boolean }) {
    this.#maxAway = waits ? AWAY_MS : STREAM_RESUME_MS;
  }

  /** How long to wait for news before it is asked again, milliseconds. */
  get pause(): number {
    return this.#pause;
  }

  /** Whether it is waited for a side that is away, for long enough that a person should hear it. */
  get away(): boolean {
    return this.#away >= SAID_AFTER_MS && this.#away < this.#maxAway;
  }

  get exhausted(): boolean {
    return this.#quiet >= STREAM_RESUME_MS || this.#away >= this.#maxAway || this.#slow >= AWAY_MS;
  }

  /** The executing side is there. */
  heard(): void {
    this.#heard = true;
  }

  /** Something new came. */
  moved(): void {
    this.#quiet = 0;
    this.#slow = 0;
    this.#back();
  }

  /** A pause is over, and nothing came but what is here already. */
  slow(): void {
    this.#slow += this.#pause;
    this.#back();
  }

  /** A pause is over, and nothing new came. */
  waited(): void {
    if (this.#heard) {
      this.#back();
      this.#quiet += ASK_EVERY_MS;
    } else {
      this.#away += this.#pause;
      this.#pause = Math.min(2 * this.#pause, MAX_PAUSE_MS);
    }
  }

  #back(): void {
    this.#heard = false;
    this.#away = 0;
    this.#pause = ASK_EVERY_MS;
  }
}

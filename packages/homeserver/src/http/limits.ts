import { limited } from "./errors.ts";

/**
 * What is counted together: by address for strangers (the first two; passwords by the account too), by user for the
 * rest. `write` is everything else that changes something.
 */
export const limitClasses = [
  "login",
  "registration",
  "message",
  "to_device",
  "room",
  "membership",
  "profile",
  "account_data",
  "receipt",
  "keys",
  "upload",
  "write",
] as const;

export type LimitClass = (typeof limitClasses)[number];

export interface RateLimit {
  /** How many may come at once. */
  readonly burst: number;
  /** How many are added each second. */
  readonly perSecond: number;
}

export type RateLimits = Readonly<Record<LimitClass, RateLimit>>;

/** As generous as the users of one host want, and still an end to a program that runs wild. */
export const defaultRateLimits: RateLimits = {
  login: { burst: 20, perSecond: 1 },
  registration: { burst: 20, perSecond: 0.5 },
  message: { burst: 500, perSecond: 50 },
  to_device: { burst: 5_000, perSecond: 1_000 },
  room: { burst: 100, perSecond: 5 },
  membership: { burst: 200, perSecond: 20 },
  profile: { burst: 50, perSecond: 1 },
  account_data: { burst: 200, perSecond: 20 },
  receipt: { burst: 500, perSecond: 50 },
  keys: { burst: 500, perSecond: 50 },
  upload: { burst: 50, perSecond: 5 },
  write: { burst: 200, perSecond: 20 },
};

interface Bucket {
  tokens: number;
  ts: number;
}

const MAX_BUCKETS = 10_000;

/** Token buckets, one for each class and key. `limits: null` lets everything through. */
export class RateLimiter {
  readonly #limits: RateLimits | null;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: RateLimits | null, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Counts one request; M_LIMIT_EXCEEDED with retry_after_ms when there were too many. */
  take(kind: LimitClass, key: string): void {
    if (this.#limits === null) return;
    const { burst, perSecond } = this.#limits[kind];
    const name = `${kind} ${key}`;
    const now = this.#now();
    const bucket = this.#buckets.get(name) ?? { tokens: burst, ts: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.ts) / 1000) * perSecond);
    bucket.ts = now;
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    if (this.#buckets.size > MAX_BUCKETS) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    if (bucket.tokens < 1) throw limited(Math.ceil(((1 - bucket.tokens) / perSecond) * 1000));
    bucket.tokens -= 1;
  }
}

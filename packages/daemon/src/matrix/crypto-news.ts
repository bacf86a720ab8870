import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import { isRecord, OUR_TYPES } from "./types.ts";

type SyncChanges = Parameters<RustCrypto["processSyncChanges"]>[0];
type Received = Awaited<ReturnType<RustCrypto["processSyncChanges"]>>;

/** It is called so often whatever comes: by these calls it notices that a verification has taken too long. */
const AT_LEAST_EVERY_MS = 10_000;

/**
 * Gives the crypto machine of each /sync what is news to it, and nothing otherwise. A call takes milliseconds, for it
 * reads its account again with all one-time keys and makes two transactions; and through it every plain chunk of a
 * stream would go into the wasm's memory and out again. `elapsed`: milliseconds, never going backwards.
 */
export function onlyNews(crypto: RustCrypto, elapsed: () => number = () => performance.now()): void {
  const process = crypto.processSyncChanges.bind(crypto);
  let told: string | undefined;
  let calledAt = Number.NEGATIVE_INFINITY;
  crypto.processSyncChanges = async (changes) => {
    const plain = changes.toDeviceEvents.filter(isPlainOfOurs);
    const rest = changes.toDeviceEvents.filter((event) => !isPlainOfOurs(event));
    const keys = JSON.stringify([changes.oneTimeKeysCounts, changes.unusedFallbackKeys]);
    const received: Received = plain.map((message) => ({ message, encryptionInfo: null }));
    const news = rest.length > 0 || hasDeviceNews(changes) || keys !== told;
    if (!news && elapsed() - calledAt < AT_LEAST_EVERY_MS) return received;
    // What fails is asked for again, and is news then.
    told = undefined;
    const processed = await process({ ...changes, toDeviceEvents: rest });
    told = keys;
    calledAt = elapsed();
    return [...received, ...processed];
  };
}

function hasDeviceNews({ deviceLists }: SyncChanges): boolean {
  return (deviceLists?.changed?.length ?? 0) > 0 || (deviceLists?.left?.length ?? 0) > 0;
}

/** The machine would give it back as it is. */
function isPlainOfOurs({ type, sender, content }: SyncChanges["toDeviceEvents"][number]): boolean {
  return (
    typeof type === "string" && type.startsWith(OUR_TYPES) && typeof sender === "string" && isRecord(content)
  );
}

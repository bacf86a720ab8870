import type { Readable } from "node:stream";
import type { StreamSpool } from "./spool.ts";

/** How long pipes may stay open that are empty, in all, before what could not be killed is cut off; milliseconds. */
const DRAIN_MS = 2_000;
const TICK_MS = 100;

/**
 * Waits until `streams`, the pumps of a run that has ended, have come to the ends of their pipes. Time in which the disk
 * still takes what was read does not count, however slow it is: only what somebody else holds open or goes on
 * writing to is cut off. Answers whether bytes were.
 */
export async function drain(
  streams: Promise<unknown>,
  pipes: readonly Readable[],
  spools: readonly StreamSpool[],
): Promise<boolean> {
  const ended = streams.then(() => true);
  const bytes = () => spools.reduce((sum, spool) => sum + spool.bytes, 0);
  let empty: number | null = null;
  for (let idle = 0; idle < DRAIN_MS; ) {
    if (await Promise.race([ended, after(TICK_MS)])) return false;
    if (spools.some(({ writing }) => writing)) continue;
    idle += TICK_MS;
    empty ??= bytes();
  }
  const cut = bytes() !== empty || pipes.some(({ readableLength }) => readableLength > 0);
  for (const pipe of pipes) pipe.destroy();
  await streams;
  return cut;
}

function after(milliseconds: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), milliseconds));
}

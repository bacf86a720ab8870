/**
 * Sets the clock of the processes that load it (NODE_OPTIONS=--import=…) ahead or back, by what stands in the file that
 * MX_TEST_CLOCK names, in milliseconds, and again whenever that changes. Monotonic time goes on as it was.
 */
import { readFileSync } from "node:fs";

const LOOK_MS = 20;
const file = process.env.MX_TEST_CLOCK ?? "";
const SystemDate = Date;
const systemNow = Date.now;
let offset = 0;
let looked = Number.NEGATIVE_INFINITY;

function now(): number {
  if (performance.now() - looked >= LOOK_MS) {
    looked = performance.now();
    offset = Number(readFileSync(file, "utf8"));
  }
  return systemNow() + offset;
}

globalThis.Date = new Proxy(SystemDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new SystemDate(now()).toString(),
  get: (target, key, receiver) => (key === "now" ? now : Reflect.get(target, key, receiver)),
});

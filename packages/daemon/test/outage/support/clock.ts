/**
 * Sets the clock of the processes that load it (NODE_OPTIONS=--import=…) ahead or back, by what stands in the file that
 * MX_TEST_CLOCK names, in milliseconds, and again whenever that changes. Monotonic time goes on as it was.
 */
import { readFileSync } from "node:fs";

const file = process.env.MX_TEST_CLOCK ?? "";
const SystemDate = Date;
const systemNow = Date.now;
let offset = 0;

/** Looks each time: who has set it counts on it from then on. Half of a setting is none. */
function now(): number {
  const text = readFileSync(file, "utf8");
  if (text !== "") offset = Number(text);
  return systemNow() + offset;
}

globalThis.Date = new Proxy(SystemDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new SystemDate(now()).toString(),
  get: (target, key, receiver) => (key === "now" ? now : Reflect.get(target, key, receiver)),
});

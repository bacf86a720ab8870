import type { IDBValidKey } from "./idb.ts";

const MAX_GENERATED = 2 ** 53;

/**
 * The key generator's number after a record was stored under `key` (IndexedDB 3.0, "possibly update the key
 * generator"); here it is the largest key so far, 0 before the first.
 */
export function generatorAfter(current: number, key: IDBValidKey): number {
  return typeof key === "number" ? Math.max(current, Math.floor(Math.min(key, MAX_GENERATED))) : current;
}

/** Whether a value lacks the key that a generator then puts at this path of it. */
export function lacksKey(value: unknown, keyPath: string): boolean {
  let at: unknown = value;
  for (const name of keyPath.split(".")) {
    if (at === undefined || at === null || !Object.hasOwn(Object(at), name)) return true;
    at = Reflect.get(Object(at), name);
  }
  return at === undefined;
}

/** Puts a generated key into a value of our own at this path, making the objects on the way. */
export function injectKey(value: unknown, keyPath: string, key: IDBValidKey): void {
  const names = keyPath.split(".");
  const last = names.pop() ?? "";
  let at = value;
  for (const name of names) {
    if (!Object.hasOwn(Object(at), name)) define(at, name, {});
    at = Reflect.get(Object(at), name);
  }
  define(at, last, key);
}

/** Past any setter on Object.prototype, as the specification injects keys. */
function define(target: unknown, name: string, value: unknown): void {
  Object.defineProperty(target, name, { configurable: true, enumerable: true, writable: true, value });
}

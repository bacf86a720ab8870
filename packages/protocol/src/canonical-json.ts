import { MAX_JSON_DEPTH } from "./limits.ts";

/** The value has no canonical JSON. `path` leads to the part that has none, from the top. */
export class CanonicalJsonError extends Error {
  override readonly name = "CanonicalJsonError";
  readonly path: readonly (string | number)[];

  constructor(problem: string, path: readonly (string | number)[]) {
    super(problem);
    this.path = path;
  }
}

const surrogate = /[\ud800-\udfff]/;
/** What stands in JSON as it is: printable ASCII but for the quotation mark and the backslash. */
const plain = /^[ !#-[\]-~]*$/;

/**
 * Matrix canonical JSON: keys sorted by Unicode code point, no white space, integers within ±(2^53-1),
 * no lone surrogates; `__proto__` is a key like any other. Takes what JSON.parse makes: plain objects,
 * arrays, strings, numbers, booleans and null. Throws CanonicalJsonError for anything else, and for more
 * than MAX_JSON_DEPTH levels. PROTOCOL "Signing"; Matrix specification, appendix "Canonical JSON".
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0);
}

/** The UTF-8 bytes of `canonicalJson`. */
export function canonicalBytes(value: unknown): Buffer {
  return Buffer.from(canonicalJson(value), "utf8");
}

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case "string":
      return writeString(value);
    case "number":
      if (!Number.isSafeInteger(value))
        throw new CanonicalJsonError("a number is not an integer within ±(2^53-1)", []);
      // Minus zero is an integer, and is written as 0.
      return String(value);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      if (value === null) return "null";
      if (depth >= MAX_JSON_DEPTH)
        throw new CanonicalJsonError(`nested more than ${MAX_JSON_DEPTH} levels deep`, []);
      return Array.isArray(value) ? writeArray(value, depth + 1) : writeObject(value, depth + 1);
    default:
      throw new CanonicalJsonError(`a value of type ${typeof value} has no JSON`, []);
  }
}

function writeString(text: string): string {
  if (plain.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new CanonicalJsonError("a string holds a lone surrogate", []);
  // Its escapes are the canonical ones: \b \t \n \f \r \" \\, lower-case \u00xx for other controls, no others.
  return JSON.stringify(text);
}

function writeArray(items: readonly unknown[], depth: number): string {
  let text = "[";
  for (let index = 0; index < items.length; index++) {
    try {
      text += (index === 0 ? "" : ",") + write(items[index], depth);
    } catch (error) {
      throw below(index, error);
    }
  }
  return `${text}]`;
}

function writeObject(object: object, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null)
    throw new CanonicalJsonError("an object is not a plain one", []);
  let text = "{";
  for (const key of sortedKeys(object)) {
    try {
      text += `${(text.length === 1 ? "" : ",") + writeString(key)}:${write(Reflect.get(object, key), depth)}`;
    } catch (error) {
      throw below(key, error);
    }
  }
  return `${text}}`;
}

/** The path is put together on the way up, by what has no canonical JSON alone. */
function below(step: string | number, error: unknown): unknown {
  return error instanceof CanonicalJsonError
    ? new CanonicalJsonError(error.message, [step, ...error.path])
    : error;
}

function sortedKeys(object: object): string[] {
  const keys = Object.keys(object).sort();
  // UTF-16 order is code point order but for surrogates, which stand before U+E000 to U+FFFF there.
  return keys.some((key) => surrogate.test(key)) ? keys.sort(compareCodePoints) : keys;
}

function compareCodePoints(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let index = 0; index < shorter; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    const leftIsPair = left >= 0xd800 && left <= 0xdfff;
    const rightIsPair = right >= 0xd800 && right <= 0xdfff;
    if (leftIsPair !== rightIsPair) return leftIsPair ? 1 : -1;
    return left - right;
  }
  return a.length - b.length;
}

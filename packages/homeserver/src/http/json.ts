import { badJson, invalidParam, missingParam, notJson } from "./errors.ts";

/** A parsed JSON object. Its keys are a stranger's, `__proto__` included: read with own(), never merge. */
export type JsonObject = { [key: string]: unknown };

const MAX_DEPTH = 100;

/** Parses a request's body; it must be an object (M_NOT_JSON, M_BAD_JSON). */
export function parseBody(bytes: Buffer): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw notJson("the body is not JSON in UTF-8");
  }
  if (!isObject(value)) throw badJson("the body must be a JSON object");
  checkDepth(value);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A property of the object itself, never one that it inherits. */
export function own(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function checkDepth(root: unknown): void {
  const stack: [unknown, number][] = [[root, 1]];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const [value, depth] = top;
    if (typeof value !== "object" || value === null) continue;
    if (depth > MAX_DEPTH) throw badJson(`the body is nested deeper than ${MAX_DEPTH} levels`);
    for (const child of Object.values(value)) stack.push([child, depth + 1]);
  }
}

/**
 * Refuses what canonical JSON can't carry (room versions 6 and later, "Canonical JSON"): numbers that
 * are no integers or beyond 2^53 - 1, and strings that are not well-formed Unicode.
 */
export function checkCanonical(root: unknown): void {
  const stack: unknown[] = [root];
  while (stack.length > 0) {
    const value = stack.pop();
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw badJson("numbers in an event must be integers within plus or minus 2^53 - 1");
    }
    if (typeof value === "string" && !value.isWellFormed()) throw badJson("a string is not valid Unicode");
    if (typeof value === "object" && value !== null) {
      for (const [key, child] of Object.entries(value)) stack.push(key, child);
    }
  }
}

/** The readers below name the field in their error: M_MISSING_PARAM, or M_BAD_JSON for a wrong type. */
export function string(body: JsonObject, key: string): string {
  const value = optionalString(body, key);
  if (value === undefined) throw missingParam(key);
  return value;
}

export function optionalString(body: JsonObject, key: string): string | undefined {
  const value = own(body, key);
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw badJson(`${key} must be a string`);
  if (!value.isWellFormed()) throw badJson(`${key} is not valid Unicode`);
  return value;
}

export function object(body: JsonObject, key: string): JsonObject {
  const value = optionalObject(body, key);
  if (value === undefined) throw missingParam(key);
  return value;
}

export function optionalObject(body: JsonObject, key: string): JsonObject | undefined {
  const value = own(body, key);
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw badJson(`${key} must be an object`);
  return value;
}

export function optionalBoolean(body: JsonObject, key: string): boolean | undefined {
  const value = own(body, key);
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") throw badJson(`${key} must be true or false`);
  return value;
}

export function optionalInteger(body: JsonObject, key: string): number | undefined {
  const value = own(body, key);
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value)) throw badJson(`${key} must be an integer`);
  return value as number;
}

export function optionalArray(body: JsonObject, key: string): unknown[] | undefined {
  const value = own(body, key);
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw badJson(`${key} must be an array`);
  return value;
}

export function optionalStrings(body: JsonObject, key: string): string[] | undefined {
  const value = optionalArray(body, key);
  if (value === undefined) return undefined;
  if (!value.every((item): item is string => typeof item === "string" && item.isWellFormed())) {
    throw badJson(`${key} must be an array of strings`);
  }
  return value;
}

/** An integer from the query string, within [min, max]; `fallback` when it is absent (M_INVALID_PARAM). */
export function queryInteger(
  query: URLSearchParams,
  key: string,
  fallback: number,
  min: number,
  max: number,
): number {
  const text = query.get(key);
  if (text === null) return fallback;
  if (!/^-?\d{1,15}$/.test(text)) throw invalidParam(`${key} must be an integer`);
  const value = Number(text);
  if (value < min) throw invalidParam(`${key} must be at least ${min}`);
  return Math.min(value, max);
}

import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { storageKey } from "../../src/matrix/crypto-store/index.ts";
import { temporaryDirectory } from "./support.ts";

test("a storage key is made once, 32 bytes for their owner alone", () => {
  const directory = temporaryDirectory();
  const file = join(directory, "crypto.key");
  const key = storageKey(file);
  expect(key).toHaveLength(32);
  expect(new Set(key).size).toBeGreaterThan(8);
  expect(storageKey(file, { missing: "refuse" })).toEqual(key);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory)).toEqual(["crypto.key"]);
  expect(storageKey(join(directory, "other.key"))).not.toEqual(key);
});

test("a storage key that others could read is closed to them", () => {
  const file = join(temporaryDirectory(), "crypto.key");
  storageKey(file);
  chmodSync(file, 0o644);
  storageKey(file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a storage key that is gone or cut off is refused and never replaced", () => {
  const file = join(temporaryDirectory(), "crypto.key");
  expect(() => storageKey(file, { missing: "refuse" })).toThrow(
    expect.objectContaining({ code: "MX_STORE_MISSING" }),
  );
  writeFileSync(file, "short");
  expect(() => storageKey(file)).toThrow(expect.objectContaining({ code: "MX_STORE_DAMAGED" }));
  expect(readFileSync(file, "utf8")).toBe("short");
});

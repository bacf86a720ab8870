import { expect, test } from "vitest";
import { generateSigningKey, type SigningKey, signRotation, verifyRotation } from "../src/index.ts";

const USER = "@ci:example.org";
const [old, next, stranger] = [generateSigningKey(), generateSigningKey(), generateSigningKey()];
const announced = (from: SigningKey = old, to: SigningKey = next) =>
  signRotation(from, to, USER, 1_780_000_000_000);

test("a key that the one before announced is found, and verifies after a way through JSON", () => {
  const sent = JSON.parse(JSON.stringify(announced()));
  expect(verifyRotation(sent, USER, old.publicKey)).toEqual(next.publicKey);
});

test("nobody else's announcement is, nor one of a key that he does not have", () => {
  const good = announced();
  expect(verifyRotation(good, USER, stranger.publicKey)).toBeUndefined();
  expect(verifyRotation(good, "@other:example.org", old.publicKey)).toBeUndefined();
  expect(verifyRotation(announced(stranger), USER, old.publicKey)).toBeUndefined();
  const { public_key, key_id } = announced(old, stranger);
  expect(verifyRotation({ ...good, public_key, key_id }, USER, old.publicKey)).toBeUndefined();
  expect(verifyRotation({ ...good, proof: good.signature }, USER, old.publicKey)).toBeUndefined();
  expect(verifyRotation({ ...good, signature: good.proof }, USER, old.publicKey)).toBeUndefined();
  for (const field of ["user_id", "from_key_id", "key_id", "public_key", "created_at"] as const)
    expect(
      verifyRotation({ ...good, [field]: `${good[field]}x` }, USER, old.publicKey),
      field,
    ).toBeUndefined();
  expect(verifyRotation({ ...good, added: 1 }, USER, old.publicKey)).toBeUndefined();
});

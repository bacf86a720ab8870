import { existsSync, readFileSync } from "node:fs";
import {
  type Binding,
  canonicalBytes,
  claimedKeyId,
  decodePublicKey,
  EventTypes,
  encodePublicKey,
  exportSeed,
  fingerprintOf,
  generateSigningKey,
  importSigningKey,
  keyIdOf,
  requestDigest,
  signContent,
  signedBytes,
  verifyBinding,
  verifySignature,
} from "@mx-agent/protocol";
import fc from "fast-check";
import nacl from "tweetnacl";
import { describe, expect, test } from "vitest";
import { verifyRaw } from "../src/signing.ts";
import { examples } from "./examples.ts";

const conformance = (name: string) => new URL(`../../../../shared/conformance/${name}`, import.meta.url);
const present = existsSync(conformance("ed25519_wycheproof.json"));
const skipped = present ? "" : " (outside data not present)";
const key = generateSigningKey();
const binding: Binding = {
  room_id: "!room:example.org",
  type: EventTypes.execRequest,
  sender: "@alice:example.org",
  device_id: "ABCDEFGH",
};
const request = examples[EventTypes.execRequest].content;

test.skipIf(!present)(`the specification's JSON signatures come out byte for byte${skipped}`, () => {
  const {
    json_signing,
  }: { json_signing: { seed_unpadded_base64: string; cases: Record<string, string>[] } } = JSON.parse(
    readFileSync(conformance("matrix_signing_vectors.json"), "utf8"),
  );
  const theirs = importSigningKey(Buffer.from(json_signing.seed_unpadded_base64, "base64"));
  expect(json_signing.cases.length).toBeGreaterThan(1);
  for (const { canonical = "", signature_unpadded_base64 = "" } of json_signing.cases) {
    // The vectors sign bare objects, without a binding: the raw signature over the canonical bytes.
    const bytes = canonicalBytes(JSON.parse(canonical));
    expect(bytes.toString("utf8")).toBe(canonical);
    const ours = nacl.sign.detached(bytes, nacl.sign.keyPair.fromSeed(exportSeed(theirs)).secretKey);
    expect(Buffer.from(ours).toString("base64").replace(/=+$/, "")).toBe(signature_unpadded_base64);
    const padded = signature_unpadded_base64.padEnd(88, "=");
    expect(verifyRaw(bytes, padded, theirs.publicKey)).toBe(true);
  }
});

test.skipIf(!present)(`Wycheproof: 151 of 151 signatures are judged as stated${skipped}`, () => {
  interface Group {
    publicKey: { pk: string };
    tests: { tcId: number; msg: string; sig: string; result: "valid" | "invalid" }[];
  }
  const { testGroups }: { testGroups: Group[] } = JSON.parse(
    readFileSync(conformance("ed25519_wycheproof.json"), "utf8"),
  );
  let judged = 0;
  for (const { publicKey, tests } of testGroups)
    for (const { tcId, msg, sig, result } of tests) {
      const encoded = Buffer.from(sig, "hex").toString("base64");
      const verdict = verifyRaw(Buffer.from(msg, "hex"), encoded, Buffer.from(publicKey.pk, "hex"));
      expect(verdict, `case ${tcId}`).toBe(result === "valid");
      judged++;
    }
  expect(judged).toBe(151);
});

describe("a second opinion: tweetnacl and we agree", () => {
  test("on the key of a seed and on every signature", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.dictionary(fc.string(), fc.integer()),
        (seed, extra) => {
          const ours = importSigningKey(seed);
          const theirs = nacl.sign.keyPair.fromSeed(seed);
          expect(Buffer.from(ours.publicKey)).toEqual(Buffer.from(theirs.publicKey));
          const content = signContent({ ...request, ...extra }, ours, binding);
          const sig = nacl.sign.detached(signedBytes(content), theirs.secretKey);
          expect(content.signature.sig).toBe(Buffer.from(sig).toString("base64"));
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("a signed content", () => {
  const content = signContent(request, key, binding);

  test("verifies against the key that signed it, and no other", () => {
    expect(verifySignature(content, key.publicKey)).toBe("ok");
    expect(verifySignature(content, generateSigningKey().publicKey)).toBe("invalid_signature");
    expect(claimedKeyId(content)).toBe(key.key_id);
  });

  test("still verifies after it went through JSON, with its keys in another order", () => {
    const reordered = Object.fromEntries(Object.entries(content).toReversed());
    const received: object = JSON.parse(JSON.stringify(reordered));
    expect(signedBytes(received).equals(signedBytes(content))).toBe(true);
    expect(verifySignature(received, key.publicKey)).toBe("ok");
  });

  test("covers unknown fields, __proto__ among them", () => {
    const extended: object = JSON.parse(
      JSON.stringify(request).replace(/}$/, ',"x-new":1,"__proto__":{"a":1}}'),
    );
    const signed = signContent(extended, key, binding);
    const received = JSON.stringify(signed);
    expect(verifySignature(JSON.parse(received), key.publicKey)).toBe("ok");
    for (const [from, to] of [
      ['"x-new":1', '"x-new":2'],
      ['"x-new":1,', ""],
      ['"__proto__":{"a":1}', '"__proto__":{"a":2}'],
      [',"__proto__":{"a":1}', ""],
    ] as const) {
      expect(received).toContain(from);
      expect(verifySignature(JSON.parse(received.replace(from, to)), key.publicKey)).toBe(
        "invalid_signature",
      );
    }
  });

  test("replaces a signature and a binding that were there", () => {
    const again = signContent(content, key, { ...binding, room_id: "!other:example.org" });
    expect(again.binding.room_id).toBe("!other:example.org");
    expect(verifySignature(again, key.publicKey)).toBe("ok");
  });

  test("altered in any one character, it does not verify", () => {
    const text = JSON.stringify(content);
    let altered = 0;
    for (let at = 0; at < text.length; at++) {
      const changed = `${text.slice(0, at)}${text[at] === "x" ? "y" : "x"}${text.slice(at + 1)}`;
      let value: unknown;
      try {
        value = JSON.parse(changed);
      } catch {
        continue;
      }
      if (typeof value !== "object" || value === null) continue;
      expect(verifySignature(value, key.publicKey), changed.slice(at - 20, at + 20)).not.toBe("ok");
      altered++;
    }
    expect(altered).toBeGreaterThan(500);
  });

  test("a null where a field was absent, or the reverse, is another content", () => {
    const { reply: _, ...without } = content;
    expect(verifySignature(without, key.publicKey)).toBe("invalid_signature");
    expect(verifySignature({ ...content, extra: null }, key.publicKey)).toBe("invalid_signature");
  });

  test("without a signature it is unsigned, with half of one invalid", () => {
    const { signature, ...bare } = content;
    expect(verifySignature(bare, key.publicKey)).toBe("unsigned");
    for (const broken of [
      null,
      "sig",
      {},
      { ...signature, alg: "none" },
      { ...signature, key_id: "mxagent-ed25519:other" },
      { ...signature, sig: signature.sig.replace(/=+$/, "") },
      { ...signature, sig: `${signature.sig} ` },
      { ...signature, sig: signature.sig.replaceAll("+", "-").replaceAll("/", "_").replace(/==$/, "") },
      { ...signature, sig: "" },
      { ...signature, sig: 5 },
      Object.create(signature),
    ])
      expect(verifySignature({ ...content, signature: broken }, key.publicKey)).toBe("invalid_signature");
  });

  test("with what has no canonical JSON it is invalid, not an exception", () => {
    expect(verifySignature({ ...content, extra: 1.5 }, key.publicKey)).toBe("invalid_signature");
  });

  test("adding the group order to S does not make a second signature", () => {
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const raw = Buffer.from(content.signature.sig, "base64");
    let s = 0n;
    for (const byte of raw.subarray(32).toReversed()) s = (s << 8n) | BigInt(byte);
    s += order;
    for (let at = 32; at < 64; at++, s >>= 8n) raw[at] = Number(s & 255n);
    const signature = { ...content.signature, sig: raw.toString("base64") };
    expect(verifySignature({ ...content, signature }, key.publicKey)).toBe("invalid_signature");
  });
});

describe("the binding", () => {
  const content = signContent(request, key, binding);
  const carrier = { ...binding, device_id: null };

  test("holds where the event that carried it is the one that was signed for", () => {
    expect(verifyBinding(content, carrier)).toBe("ok");
    expect(verifyBinding(content, { ...carrier, device_id: "ABCDEFGH" })).toBe("ok");
  });

  test.each([
    ["room", { room_id: "!other:example.org" }],
    ["type", { type: EventTypes.execCancel }],
    ["sender", { sender: "@mallory:example.org" }],
    ["device", { device_id: "OTHER" }],
  ])("a content lifted to another %s is a mismatch", (_name, change) => {
    expect(verifyBinding(content, { ...carrier, ...change })).toBe("binding_mismatch");
  });

  test("none is missing; one that is no object, or inherits its fields, is a mismatch", () => {
    expect(verifyBinding(request, carrier)).not.toBe("ok");
    const { binding: _, ...without } = content;
    expect(verifyBinding(without, carrier)).toBe("binding_missing");
    for (const broken of [null, "x", [], Object.create(binding)])
      expect(verifyBinding({ ...content, binding: broken }, carrier)).toBe("binding_mismatch");
  });
});

describe("keys", () => {
  test("a seed exported and imported is the same key", () => {
    const seed = exportSeed(key);
    expect(seed).toHaveLength(32);
    const again = importSigningKey(seed);
    expect(again.key_id).toBe(key.key_id);
    expect(verifySignature(signContent(request, again, binding), key.publicKey)).toBe("ok");
  });

  test("a seed of another length is refused", () => {
    expect(() => importSigningKey(Buffer.alloc(31))).toThrow(RangeError);
    expect(() => importSigningKey(Buffer.alloc(64))).toThrow(RangeError);
  });

  test("key id and fingerprint are the same digest, without padding", () => {
    // SHA-256 of 32 zero bytes.
    const digest = "Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU";
    expect(keyIdOf(new Uint8Array(32))).toBe(`mxagent-ed25519:${digest}`);
    expect(fingerprintOf(new Uint8Array(32))).toBe(`SHA256:${digest}`);
  });
});

describe("a public key without a secret", () => {
  const points = [
    "00".repeat(32),
    `01${"00".repeat(31)}`,
    `01${"00".repeat(30)}80`,
    `${"00".repeat(31)}80`,
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    `ec${"ff".repeat(30)}7f`,
    `ed${"ff".repeat(30)}7f`,
    `ee${"ff".repeat(30)}7f`,
  ].map((hex) => Buffer.from(hex, "hex"));
  /** R is the neutral point and S is 0: it fits whenever the key drops out of the equation. */
  const forged = Buffer.concat([Buffer.from([1]), Buffer.alloc(63)]);
  const messages = Array.from({ length: 64 }, (_, n) => Buffer.from(`message ${n}`));

  test.each(points.map((point) => ({ point })))(
    "number %# is no key to approve, and verifies nothing",
    ({ point }) => {
      expect(decodePublicKey(encodePublicKey(point))).toBeUndefined();
      for (const message of messages)
        expect(verifyRaw(message, forged.toString("base64"), point)).toBe(false);
    },
  );

  test("though another implementation takes such a signature for many a message", () => {
    for (const point of points)
      expect(messages.some((message) => nacl.sign.detached.verify(message, forged, point))).toBe(true);
  });
});

describe("the digest of a request", () => {
  test("does not depend on the order of keys, and changes with any field, the signature too", () => {
    const content = signContent(request, key, binding);
    const digest = requestDigest(content);
    expect(Buffer.from(digest, "base64")).toHaveLength(32);
    expect(requestDigest(Object.fromEntries(Object.entries(content).toReversed()))).toBe(digest);
    expect(requestDigest({ ...content, cwd: "/" })).not.toBe(digest);
    expect(requestDigest(signContent(request, generateSigningKey(), binding))).not.toBe(digest);
  });
});

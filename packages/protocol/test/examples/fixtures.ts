import type { ContentOf, EventType } from "@mx-agent/protocol";

export const sha256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
export const time = "2026-06-02T12:00:00.000Z";
export const signature = { alg: "ed25519" as const, key_id: "mxagent-ed25519:abc", sig: "AAAA" };
export const binding = {
  room_id: "!r:example.org",
  type: "t",
  sender: "@a:example.org",
  device_id: "DEVICE",
};
export const signed = { binding, signature };
export const load = { running_invocations: 1, max_invocations: 4 };
export const encrypted_file = {
  url: "mxc://example.org/abc",
  key: { kty: "oct" as const, alg: "A256CTR" as const, k: "key", ext: true as const, key_ops: ["decrypt"] },
  iv: "iv",
  hashes: { sha256: "hash" },
  v: "v2" as const,
};
export const authorization = {
  requesting_agent: "laptop",
  target_agent: "builder",
  created_at: time,
  expires_at: time,
  nonce: "n",
  signature,
};

export interface Example<T extends EventType> {
  content: ContentOf<T>;
  /** `name?` in PROTOCOL. */
  optional: (keyof ContentOf<T>)[];
  /** `name|null` in PROTOCOL. */
  nullable: (keyof ContentOf<T>)[];
}

export type Examples = { [T in EventType]: Example<T> };

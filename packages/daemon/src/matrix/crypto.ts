import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { mxError } from "@mx-agent/base";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { SyncTable } from "../state/sync-store.ts";
import { type DurableIndexedDB, openDurableIndexedDB, storageKey } from "./crypto-store/index.ts";
import type { Credentials } from "./types.ts";

export interface OpenCryptoOptions {
  client: MatrixClient;
  /** Where the crypto stores are, one for each device; made when it is missing. */
  dir: string;
  credentials: Credentials;
  /** Remembers which devices have a store. */
  sync: SyncTable;
  /** Version of mx-agent, kept in the store. */
  version: string;
}

export interface OpenCrypto {
  crypto: RustCrypto;
  store: DurableIndexedDB;
}

/**
 * The SDK remembers every to-device message that it has decrypted, for ever. It asks only when it can't decrypt one:
 * a known one was sent again, an unknown one means that its Olm session is broken, and a new one is made, at most one an
 * hour. What is sent again by a server that is honest is among the latest few hundred.
 */
const KEEP_LATEST = { olm_hashes: 1_000 };

/** The wasm takes its IndexedDB from the process's globals while it opens: one session at a time. */
let opening: Promise<unknown> = Promise.resolve();

/**
 * Starts the SDK's encryption on this device's durable store. Another device of the same account gets a store
 * of its own, and the old one stays where it is. MX_STORE_MISSING when this device had one and it is gone:
 * the server would otherwise hand out keys that nobody has.
 */
export function openCrypto(options: OpenCryptoOptions): Promise<OpenCrypto> {
  const opened = opening.then(() => open(options));
  opening = opened.catch(() => undefined);
  return opened;
}

async function open({ client, dir, credentials, sync, version }: OpenCryptoOptions): Promise<OpenCrypto> {
  const { user_id, device_id } = credentials;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  // Named by what we make of the ids: they come from the server.
  const name = createHash("sha256").update(`${user_id}\n${device_id}`).digest("hex").slice(0, 32);
  const missing = sync.hasCryptoStore(name) ? "refuse" : "create";
  const storageKeyBytes = storageKey(join(dir, `${name}.key`), { missing });
  const store = await openDurableIndexedDB({
    file: join(dir, `${name}.db`),
    version,
    missing,
    keepLatest: KEEP_LATEST,
  });
  try {
    sync.setCryptoStore(name);
    Object.assign(globalThis, store.globals);
    await client.initRustCrypto({ storageKey: storageKeyBytes });
    const crypto = client.getCrypto();
    if (!(crypto instanceof RustCrypto))
      throw mxError("MX_INTERNAL", { detail: "the SDK has another encryption" });
    return { crypto, store };
  } catch (error) {
    client.stopClient();
    await store.close();
    throw error;
  }
}

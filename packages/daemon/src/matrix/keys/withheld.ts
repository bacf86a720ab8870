import { randomUUID } from "node:crypto";
import type { WithoutKeys } from "@mx-agent/ipc";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { Method } from "matrix-js-sdk/lib/http-api/method.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import { describe, type Logger } from "../types.ts";

export interface WithheldOptions {
  client: MatrixClient;
  crypto: RustCrypto;
  logger: Logger;
}

type Why = WithoutKeys["why"];

/** As the specification words them. */
const SAID: Readonly<Record<Why, { code: string; reason: string }>> = {
  revoked: { code: "m.blacklisted", reason: "The sender has blocked you." },
  unsigned: { code: "m.unverified", reason: "The sender has disabled encrypting to unverified devices." },
  identity_changed: {
    code: "m.unverified",
    reason: "The sender has disabled encrypting to unverified devices.",
  },
};

/**
 * Tells devices that they get no keys of a session, and why (Client-Server API, "m.room_key.withheld"), so that their
 * people do not wait for keys that never come. The SDK does so for devices that it leaves out itself; users whom we
 * leave out are not known to it as such, for its way, a blacklisted device, holds for all rooms at once.
 */
export class Withheld {
  readonly #options: WithheldOptions;
  /** Of each room the session that was used last, and who was told. */
  readonly #told = new Map<string, { session_id: string; devices: Set<string> }>();

  constructor(options: WithheldOptions) {
    this.#options = options;
  }

  /** Tells those who were not told of this session yet; a notice that can't be sent is no reason to send nothing else. */
  async tell(room_id: string, session_id: unknown, cut: ReadonlyMap<string, Why>): Promise<void> {
    if (cut.size === 0 || typeof session_id !== "string") return;
    const { client, crypto, logger } = this.#options;
    const before = this.#told.get(room_id);
    const told = before?.session_id === session_id ? before : { session_id, devices: new Set<string>() };
    this.#told.set(room_id, told);
    try {
      const found = await crypto.getUserDeviceInfo([...cut.keys()]);
      const fresh = [...found.values()].flatMap((devices) =>
        [...devices.values()].filter(({ userId, deviceId }) => !told.devices.has(`${userId} ${deviceId}`)),
      );
      if (fresh.length === 0) return;
      const { curve25519: sender_key } = await crypto.getOwnDeviceKeys();
      const session = { algorithm: "m.megolm.v1.aes-sha2", room_id, session_id, sender_key };
      const messages: Record<string, Record<string, object>> = {};
      for (const { userId, deviceId } of fresh) {
        const why = cut.get(userId);
        if (why !== undefined)
          messages[userId] = { ...messages[userId], [deviceId]: { ...session, ...SAID[why] } };
      }
      const path = `/sendToDevice/m.room_key.withheld/${randomUUID()}`;
      await client.http.authedRequest(Method.Put, path, undefined, { messages });
      for (const { userId, deviceId } of fresh) told.devices.add(`${userId} ${deviceId}`);
    } catch (error) {
      logger.warn({ room_id, error: describe(error) }, "those who get no keys could not be told");
    }
  }
}

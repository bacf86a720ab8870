import type { App } from "../app.ts";
import { badJson, invalidParam } from "../http/errors.ts";
import { isObject, type JsonObject, optionalObject, own } from "../http/json.ts";
import { announceDeviceChange } from "./device-lists.ts";

/** `device_one_time_keys_count` and `device_unused_fallback_key_types` of a device. */
export function keyCounts(app: App, userId: string, deviceId: string): JsonObject {
  return {
    device_one_time_keys_count: oneTimeKeyCounts(app, userId, deviceId),
    device_unused_fallback_key_types: app.store.crypto.unusedFallbackTypes(userId, deviceId),
  };
}

/** Counts by algorithm; the algorithm that everybody uses is always named, so that 0 is seen. */
export function oneTimeKeyCounts(app: App, userId: string, deviceId: string): Record<string, number> {
  const counts = app.store.oneTimeKeys.count(userId, deviceId);
  return { signed_curve25519: 0, ...Object.fromEntries(counts.map((row) => [row.algorithm, row.n])) };
}

/**
 * POST /keys/upload: device keys, one-time keys, fallback keys; all of it or nothing. A one-time key that is there
 * or was handed out is not taken again: its owner may not have heard the first time that it was.
 */
export function uploadKeys(app: App, userId: string, deviceId: string, body: JsonObject): void {
  const deviceKeys = optionalObject(body, "device_keys");
  const oneTimeKeys = namedKeys(optionalObject(body, "one_time_keys"));
  const fallbackKeys = namedKeys(optionalObject(body, "fallback_keys"));
  const { db, crypto, oneTimeKeys: store } = app.store;
  db.transaction(() => {
    if (deviceKeys !== undefined) uploadDeviceKeys(app, userId, deviceId, deviceKeys);
    const fresh = oneTimeKeys.filter(({ algorithm, keyId, key }) => {
      const waiting = store.waiting(userId, deviceId, algorithm, keyId);
      if (waiting !== undefined && waiting !== key)
        throw invalidParam(`the one-time key ${algorithm}:${keyId} is already there and differs`);
      return waiting === undefined && store.claimed(userId, deviceId, algorithm, keyId) !== key;
    });
    store.add(userId, deviceId, fresh);
    for (const { algorithm, keyId, key } of fallbackKeys) {
      const known = crypto.fallbackKey(userId, deviceId, algorithm);
      if (known?.key_id !== keyId || known.key !== key)
        crypto.setFallbackKey(userId, deviceId, algorithm, keyId, key);
    }
  });
}

function uploadDeviceKeys(app: App, userId: string, deviceId: string, keys: JsonObject): void {
  if (keys.user_id !== userId || keys.device_id !== deviceId) {
    throw badJson("device_keys must name the user and the device of the access token");
  }
  for (const name of ["keys", "signatures"])
    if (!isObject(own(keys, name))) throw badJson(`${name} must be an object`);
  if (!Array.isArray(own(keys, "algorithms"))) throw badJson("algorithms must be an array");
  const { crypto } = app.store;
  if (JSON.stringify(crypto.deviceKeys(userId, deviceId)) === JSON.stringify(keys)) return;
  crypto.setDeviceKeys(userId, deviceId, keys);
  announceDeviceChange(app, userId);
}

/** Takes `algorithm:keyId` apart. */
function namedKeys(keys: JsonObject | undefined): { algorithm: string; keyId: string; key: string }[] {
  return Object.entries(keys ?? {}).map(([name, value]) => {
    const colon = name.indexOf(":");
    if (colon <= 0 || colon === name.length - 1) throw badJson(`${name} is not algorithm:key_id`);
    if (typeof value !== "string" && !isObject(value))
      throw badJson(`the key ${name} must be a string or an object`);
    return { algorithm: name.slice(0, colon), keyId: name.slice(colon + 1), key: JSON.stringify(value) };
  });
}

/** POST /keys/claim: each one-time key goes to one claimer; then the fallback key serves them all. */
export function claimKeys(app: App, body: JsonObject): JsonObject {
  const wanted = optionalObject(body, "one_time_keys") ?? {};
  const { db, oneTimeKeys } = app.store;
  return db.transaction(() => {
    const users: [string, JsonObject][] = [];
    for (const [userId, devices] of Object.entries(wanted)) {
      if (!isObject(devices)) throw badJson("one_time_keys must map users to devices");
      const found: [string, JsonObject][] = [];
      for (const [deviceId, algorithm] of Object.entries(devices)) {
        if (typeof algorithm !== "string") throw badJson("the algorithm of a device must be a string");
        const taken =
          oneTimeKeys.take(userId, deviceId, algorithm) ?? takeFallback(app, userId, deviceId, algorithm);
        if (taken !== undefined)
          found.push([deviceId, { [`${algorithm}:${taken.keyId}`]: JSON.parse(taken.key) }]);
      }
      if (found.length > 0) users.push([userId, Object.fromEntries(found)]);
    }
    return { one_time_keys: Object.fromEntries(users), failures: {} };
  });
}

function takeFallback(
  app: App,
  userId: string,
  deviceId: string,
  algorithm: string,
): { keyId: string; key: string } | undefined {
  const fallback = app.store.crypto.fallbackKey(userId, deviceId, algorithm);
  if (fallback === undefined) return undefined;
  app.store.crypto.useFallbackKey(userId, deviceId, algorithm);
  // Its owner sees at the next sync that it was used.
  app.store.db.afterCommit(() => app.notifier.wake([userId]));
  return { keyId: fallback.key_id, key: fallback.key };
}

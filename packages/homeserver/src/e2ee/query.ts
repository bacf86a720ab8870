import type { App } from "../app.ts";
import { badJson } from "../http/errors.ts";
import { isObject, type JsonObject, optionalObject } from "../http/json.ts";
import { serverOf } from "../rooms/ids.ts";
import type { CrossSigningUsage } from "../store/crypto.ts";

const noFederation = "this homeserver does not federate";

/** POST /keys/query: device keys and cross-signing keys, with the signatures that were added to them. */
export function queryKeys(app: App, asker: string, body: JsonObject): JsonObject {
  const named = optionalObject(body, "device_keys");
  if (named === undefined) throw badJson("device_keys is missing");
  const wanted = Object.entries(named);
  const elsewhere = [...new Set(wanted.map(([userId]) => serverOf(userId)))].filter(
    (server) => server !== app.settings.serverName,
  );
  const devices: [string, JsonObject][] = [];
  const master: [string, JsonObject][] = [];
  const selfSigning: [string, JsonObject][] = [];
  const userSigning: [string, JsonObject][] = [];
  for (const [userId, deviceIds] of wanted) {
    if (!Array.isArray(deviceIds)) throw badJson("device_keys must map users to arrays of devices");
    devices.push([userId, Object.fromEntries(devicesOf(app, asker, userId, deviceIds))]);
    pushKey(app, asker, userId, "master", master);
    pushKey(app, asker, userId, "self_signing", selfSigning);
    if (userId === asker) pushKey(app, asker, userId, "user_signing", userSigning);
  }
  return {
    device_keys: Object.fromEntries(devices),
    failures: Object.fromEntries(
      elsewhere.map((server) => [server, { errcode: "M_FORBIDDEN", error: noFederation }]),
    ),
    master_keys: Object.fromEntries(master),
    self_signing_keys: Object.fromEntries(selfSigning),
    user_signing_keys: Object.fromEntries(userSigning),
  };
}

function devicesOf(
  app: App,
  asker: string,
  userId: string,
  wanted: readonly unknown[],
): [string, JsonObject][] {
  return app.store.crypto
    .allDeviceKeys(userId)
    .filter(({ deviceId }) => wanted.length === 0 || wanted.includes(deviceId))
    .map(({ deviceId, keys, displayName }) => [
      deviceId,
      {
        ...signed(app, asker, userId, deviceId, keys),
        unsigned: displayName === null ? {} : { device_display_name: displayName },
      },
    ]);
}

function pushKey(
  app: App,
  asker: string,
  userId: string,
  usage: CrossSigningUsage,
  into: [string, JsonObject][],
): void {
  const key = app.store.crypto.crossSigningKey(userId, usage);
  if (key === undefined) return;
  into.push([userId, signed(app, asker, userId, publicKeyOf(key), key)]);
}

/** The public key that a cross-signing key object carries; it is also its name in signatures. */
export function publicKeyOf(key: JsonObject): string {
  const keys = isObject(key.keys) ? Object.values(key.keys) : [];
  return typeof keys[0] === "string" ? keys[0] : "";
}

/** Adds the signatures that may be shown: the owner's, and those that the asker made. */
function signed(app: App, asker: string, owner: string, keyName: string, key: JsonObject): JsonObject {
  const signatures = new Map<string, JsonObject>();
  for (const [signer, value] of Object.entries(isObject(key.signatures) ? key.signatures : {})) {
    if (isObject(value)) signatures.set(signer, value);
  }
  for (const row of app.store.crypto.signatures(owner, keyName)) {
    if (row.signer !== owner && row.signer !== asker) continue;
    signatures.set(row.signer, { ...signatures.get(row.signer), [row.signing_key]: row.signature });
  }
  return signatures.size === 0 ? key : { ...key, signatures: Object.fromEntries(signatures) };
}

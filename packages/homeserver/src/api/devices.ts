import type { App } from "../app.ts";
import { announceDeviceChange } from "../e2ee/device-lists.ts";
import { missingParam, notFound } from "../http/errors.ts";
import { optionalString, optionalStrings } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import type { DeviceRow } from "../store/accounts.ts";
import { passwordCheck } from "./password-stage.ts";

/** "Device Management". */
export function deviceRoutes(app: App): Route[] {
  return [
    route("GET", "/_matrix/client/v3/devices", (request) => ({
      devices: app.store.accounts.devices(request.userId).map(deviceJson),
    })),
    route("GET", "/_matrix/client/v3/devices/{deviceId}", (request) => {
      const device = app.store.accounts.device(request.userId, request.param("deviceId"));
      if (device === undefined) throw notFound("no such device");
      return deviceJson(device);
    }),
    route("PUT", "/_matrix/client/v3/devices/{deviceId}", (request) => rename(app, request)),
    route("DELETE", "/_matrix/client/v3/devices/{deviceId}", (request) =>
      removeDevices(app, request, [request.param("deviceId")]),
    ),
    route("POST", "/_matrix/client/v3/delete_devices", (request) => {
      const devices = optionalStrings(request.body, "devices");
      if (devices === undefined) throw missingParam("devices");
      return removeDevices(app, request, devices);
    }),
  ];
}

function deviceJson(device: DeviceRow): object {
  return {
    device_id: device.device_id,
    user_id: device.user_id,
    ...(device.display_name === null ? {} : { display_name: device.display_name }),
    ...(device.last_seen_ts === null ? {} : { last_seen_ts: device.last_seen_ts }),
    ...(device.last_seen_ip === null ? {} : { last_seen_ip: device.last_seen_ip }),
  };
}

function rename(app: App, request: ApiRequest): unknown {
  const { accounts, db } = app.store;
  const deviceId = request.param("deviceId");
  if (accounts.device(request.userId, deviceId) === undefined) throw notFound("no such device");
  const name = optionalString(request.body, "display_name");
  if (name === undefined) return {};
  db.transaction(() => {
    accounts.renameDevice(request.userId, deviceId, name);
    announceDeviceChange(app, request.userId);
  });
  return {};
}

async function removeDevices(app: App, request: ApiRequest, devices: readonly string[]): Promise<unknown> {
  const { userId, body } = request;
  await app.uia.require(
    `delete_devices ${userId} ${[...devices].sort().join(" ")}`,
    body,
    [["m.login.password"]],
    {
      "m.login.password": passwordCheck(app, userId),
    },
  );
  app.store.db.transaction(() => {
    for (const deviceId of devices) deleteDevice(app, userId, deviceId);
  });
  return {};
}

/** Ends a device: its tokens, keys and waiting messages. Others hear that the device list changed. */
export function deleteDevice(app: App, userId: string, deviceId: string): void {
  const hadKeys = app.store.crypto.deviceKeys(userId, deviceId) !== undefined;
  app.store.accounts.deleteDevice(userId, deviceId);
  app.store.crypto.deleteDevice(userId, deviceId);
  app.store.oneTimeKeys.deleteDevice(userId, deviceId);
  app.store.toDevice.deleteDevice(userId, deviceId);
  if (hadKeys) announceDeviceChange(app, userId);
  // A long poll of that device ends now, and its next request is refused.
  app.store.db.afterCommit(() => app.notifier.wake([userId]));
}

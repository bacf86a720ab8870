import { hashPassword } from "../accounts/password.ts";
import type { App } from "../app.ts";
import { missingParam } from "../http/errors.ts";
import { optionalBoolean, optionalString } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { changeMembership } from "../rooms/membership.ts";
import { deleteDevice } from "./devices.ts";
import { passwordCheck } from "./password-stage.ts";

/** "Account management": password change and deactivation. */
export function accountRoutes(app: App): Route[] {
  return [
    route("POST", "/_matrix/client/v3/account/password", (request) => changePassword(app, request)),
    route("POST", "/_matrix/client/v3/account/deactivate", (request) => deactivate(app, request)),
  ];
}

async function authenticate(app: App, request: ApiRequest, purpose: string): Promise<void> {
  await app.uia.require(`${purpose} ${request.userId}`, request.body, [["m.login.password"]], {
    "m.login.password": passwordCheck(app, request.userId),
  });
}

async function changePassword(app: App, request: ApiRequest): Promise<unknown> {
  const { userId, deviceId } = request.session;
  const password = optionalString(request.body, "new_password");
  await authenticate(app, request, "password");
  if (password === undefined || password === "") throw missingParam("new_password");
  const hash = await hashPassword(password);
  const logOutOthers = optionalBoolean(request.body, "logout_devices") ?? true;
  const { accounts, db } = app.store;
  db.transaction(() => {
    accounts.setPassword(userId, hash);
    if (!logOutOthers) return;
    for (const device of accounts.devices(userId)) {
      if (device.device_id !== deviceId) deleteDevice(app, userId, device.device_id);
    }
  });
  return {};
}

/** Ends an account for good: devices, password, profile; its rooms are left. */
async function deactivate(app: App, request: ApiRequest): Promise<unknown> {
  const { userId } = request;
  await authenticate(app, request, "deactivate");
  const { accounts, db, rooms } = app.store;
  db.transaction(() => {
    for (const row of rooms.memberships(userId)) {
      if (row.membership === "leave" || row.membership === "ban") continue;
      changeMembership(app, { roomId: row.room_id, sender: userId, target: userId, membership: "leave" });
    }
    for (const device of accounts.devices(userId)) deleteDevice(app, userId, device.device_id);
    accounts.deactivate(userId);
    accounts.deleteProfile(userId, undefined);
  });
  return { id_server_unbind_result: "success" };
}

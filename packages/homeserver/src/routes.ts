import { accountDataRoutes } from "./api/account-data.ts";
import { deviceRoutes } from "./api/devices.ts";
import { directoryRoutes } from "./api/directory.ts";
import { discoveryRoutes } from "./api/discovery.ts";
import { keyRoutes } from "./api/keys.ts";
import { loginRoutes } from "./api/login.ts";
import { messageRoutes } from "./api/messages.ts";
import { presenceRoutes } from "./api/presence.ts";
import { profileRoutes } from "./api/profile.ts";
import { pushRuleRoutes } from "./api/push-rules.ts";
import { receiptRoutes } from "./api/receipts.ts";
import { registerRoutes } from "./api/register.ts";
import { roomStateRoutes } from "./api/room-state.ts";
import { roomRoutes } from "./api/rooms.ts";
import { sendRoutes } from "./api/send.ts";
import { syncRoutes } from "./api/sync.ts";
import type { App } from "./app.ts";
import type { Route } from "./http/router.ts";

/** Everything that the homeserver answers; the rest is M_UNRECOGNIZED. */
export function allRoutes(app: App): Route[] {
  return [
    discoveryRoutes,
    loginRoutes,
    registerRoutes,
    deviceRoutes,
    profileRoutes,
    presenceRoutes,
    accountDataRoutes,
    pushRuleRoutes,
    roomRoutes,
    roomStateRoutes,
    sendRoutes,
    messageRoutes,
    receiptRoutes,
    directoryRoutes,
    syncRoutes,
    keyRoutes,
  ].flatMap((routes) => routes(app));
}

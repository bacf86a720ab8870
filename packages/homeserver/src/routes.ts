import { accountRoutes } from "./api/account.ts";
import { accountDataRoutes } from "./api/account-data.ts";
import { crossSigningRoutes } from "./api/cross-signing.ts";
import { deviceRoutes } from "./api/devices.ts";
import { directoryRoutes } from "./api/directory.ts";
import { discoveryRoutes } from "./api/discovery.ts";
import { keyRoutes } from "./api/keys.ts";
import { loginRoutes } from "./api/login.ts";
import { mediaRoutes } from "./api/media.ts";
import { messageRoutes } from "./api/messages.ts";
import { presenceRoutes } from "./api/presence.ts";
import { profileRoutes } from "./api/profile.ts";
import { publicRoomRoutes } from "./api/public-rooms.ts";
import { pushRuleRoutes } from "./api/push-rules.ts";
import { receiptRoutes } from "./api/receipts.ts";
import { registerRoutes } from "./api/register.ts";
import { relationRoutes } from "./api/relations.ts";
import { roomKeyRoutes } from "./api/room-keys.ts";
import { roomStateRoutes } from "./api/room-state.ts";
import { roomRoutes } from "./api/rooms.ts";
import { sendRoutes } from "./api/send.ts";
import { syncRoutes } from "./api/sync.ts";
import { userDirectoryRoutes } from "./api/user-directory.ts";
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
    userDirectoryRoutes,
    publicRoomRoutes,
    relationRoutes,
    roomKeyRoutes,
    mediaRoutes,
    crossSigningRoutes,
    accountRoutes,
  ].flatMap((routes) => routes(app));
}

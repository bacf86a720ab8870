export {
  addUser,
  createRegistrationToken,
  type HomeserverUser,
  listUsers,
  type RegistrationTokenOptions,
  revokeRegistrationToken,
} from "./admin.ts";
export {
  type HomeserverStatus,
  homeserverStatus,
  startInBackground,
  stopHomeserver,
} from "./background.ts";
export { type Homeserver, startHomeserver } from "./homeserver.ts";
export type { ConnectionLimits } from "./http/connections.ts";
export { type LimitClass, limitClasses, type RateLimit, type RateLimits } from "./http/limits.ts";
export type { Logger } from "./http/server.ts";
export { parseRateLimits } from "./limit-flags.ts";
export { homeserverLogger, runHomeserver } from "./main.ts";
export { homeserverProcess } from "./node-process.ts";
export type { HomeserverOptions, Registration } from "./options.ts";
export { ROOM_VERSION } from "./rooms/auth.ts";
export type { RunningHomeserver } from "./running.ts";

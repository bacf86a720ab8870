import type { UserInteractiveAuth } from "./accounts/uia.ts";
import type { RateLimiter } from "./http/limits.ts";
import type { Logger } from "./http/server.ts";
import type { MediaFiles } from "./media/files.ts";
import type { Settings } from "./options.ts";
import type { PushRules } from "./rooms/push-rules.ts";
import type { Store } from "./store/index.ts";
import type { Notifier } from "./sync/notifier.ts";
import type { Presence } from "./sync/presence.ts";
import type { Typing } from "./sync/typing.ts";

/** What the parts of a running server share. */
export interface App {
  readonly settings: Settings;
  readonly store: Store;
  readonly pushRules: PushRules;
  readonly notifier: Notifier;
  readonly typing: Typing;
  readonly presence: Presence;
  readonly uia: UserInteractiveAuth;
  readonly limiter: RateLimiter;
  readonly media: MediaFiles;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

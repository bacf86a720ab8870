import type { App } from "../app.ts";
import type { StoredEvent } from "./event.ts";

/** Counts a new event as unread for those members whom their push rules notify of it. */
export function countUnread(_app: App, _event: StoredEvent, _members: ReadonlySet<string>): void {}

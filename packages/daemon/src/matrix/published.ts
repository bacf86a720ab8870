import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { Method } from "matrix-js-sdk/lib/http-api/method.js";
import type { Account } from "./api.ts";
import type { Changes } from "./changes.ts";
import { refusalOf } from "./homeserver-error.ts";
import { describe, isRecord, type Logger } from "./types.ts";

export interface PublishedOptions {
  client: MatrixClient;
  account: Account;
  changes: Changes;
  signal: AbortSignal;
  logger: Logger;
}

/** How long we wait for the server to show our keys, milliseconds, before we go on without. */
const LIMIT_MS = 15_000;
const ASK_AGAIN_MS = 250;

/**
 * Resolves when the homeserver shows this device's keys to others. A room that is joined before that brings
 * messages whose keys were shared with everybody but us, and nobody shares them again.
 */
export async function keysPublished(options: PublishedOptions): Promise<void> {
  const { changes, signal, logger } = options;
  const deadline = performance.now() + LIMIT_MS;
  let problem = "the keys are not there";
  while (performance.now() < deadline && !signal.aborted) {
    try {
      if (await isShown(options)) return;
    } catch (error) {
      problem = describe(error);
      if (refusalOf(error)) break;
    }
    await changes.next(signal, ASK_AGAIN_MS).catch(() => undefined);
  }
  if (!signal.aborted) logger.warn({ problem }, "the homeserver does not show this device's encryption keys");
}

/** POST /_matrix/client/v3/keys/query, for this device alone. */
async function isShown({ client, account }: PublishedOptions): Promise<boolean> {
  const { user_id, device_id } = account;
  const answer = await client.http.authedRequest<unknown>(Method.Post, "/keys/query", undefined, {
    device_keys: { [user_id]: [device_id] },
  });
  const users = isRecord(answer) && isRecord(answer.device_keys) ? answer.device_keys : {};
  const devices = users[user_id];
  return isRecord(devices) && isRecord(devices[device_id]);
}

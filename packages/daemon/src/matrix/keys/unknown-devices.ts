import { UserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { Method } from "matrix-js-sdk/lib/http-api/method.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import { describe, isRecord, type Logger } from "../types.ts";
import { olmMachineOf } from "./olm-machine.ts";

const REQUEST = "m.key.verification.request";
/** Users whose devices are being asked for at once; anybody can send a request. */
const MAX_ASKED = 8;

type Changes = Parameters<RustCrypto["processSyncChanges"]>[0];
type ToDeviceEvent = Changes["toDeviceEvents"][number];

/**
 * Asks the homeserver for this user's devices and identity, and keeps them: of a stranger, with whom no encrypted room
 * is shared, the SDK knows none.
 */
export async function learnDevices(client: MatrixClient, crypto: RustCrypto, user_id: string): Promise<void> {
  const machine = olmMachineOf(crypto);
  const query = machine.queryKeysForUsers([new UserId(user_id)]);
  const { id, type } = query;
  const body: unknown = JSON.parse(query.body);
  const answer = await client.http.authedRequest<unknown>(
    Method.Post,
    "/keys/query",
    undefined,
    isRecord(body) ? body : {},
  );
  await machine.markRequestAsSent(id, type, JSON.stringify(answer));
}

/**
 * The SDK drops a request for verification that is faster than the news of its device. Here it waits until the
 * homeserver was asked for that device, and is then worked on as if it came now; its own age counts all the same.
 */
export function waitForDevices(client: MatrixClient, crypto: RustCrypto, logger: Logger): void {
  const process = crypto.processSyncChanges.bind(crypto);
  const asked = new Set<string>();
  const comeBack = async (event: ToDeviceEvent) => {
    if (asked.has(event.sender) || asked.size >= MAX_ASKED) return;
    asked.add(event.sender);
    try {
      await learnDevices(client, crypto, event.sender);
      // Of the counts of keys this says nothing, which must not be taken for none.
      await process({ toDeviceEvents: [event], oneTimeKeysCounts: {}, useMsc4186: true });
    } catch (error) {
      logger.warn(
        { sender: event.sender, error: describe(error) },
        "who asks for verification is not known, and could not be looked up",
      );
    } finally {
      asked.delete(event.sender);
    }
  };
  crypto.processSyncChanges = async (changes) => {
    const received = await process(changes);
    for (const { message } of received) if (wasDropped(crypto, message)) void comeBack(message);
    return received;
  };
}

function wasDropped(crypto: RustCrypto, { type, sender, content }: ToDeviceEvent): boolean {
  if (type !== REQUEST || typeof sender !== "string" || !isRecord(content)) return false;
  const { transaction_id } = content;
  if (typeof transaction_id !== "string") return false;
  return olmMachineOf(crypto).getVerificationRequest(new UserId(sender), transaction_id) === undefined;
}

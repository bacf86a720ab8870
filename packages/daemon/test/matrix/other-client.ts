/** A Matrix client that is not ours: the bare SDK, with its keys in memory, as a person's might be. */
import { ClientEvent, MatrixClient } from "matrix-js-sdk/lib/client.js";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/CryptoEvent.js";
import {
  type VerificationPhase,
  type VerificationRequest,
  type Verifier,
  VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/verification.js";
import { MemoryStore } from "matrix-js-sdk/lib/store/memory.js";
import { SyncState } from "matrix-js-sdk/lib/sync.js";
import { eventually } from "../../../../scripts/eventually.ts";
import { login } from "../../src/matrix/login.ts";
import { sdkLogger, silenceSdkConsole } from "../../src/matrix/sdk-logger.ts";
import { memoryLogger } from "./helpers.ts";

export interface OtherClient {
  client: MatrixClient;
  user_id: string;
  device_id: string;
  password: string;
  /** Resolves to the next request that comes; to be asked for before it does. */
  request(): Promise<VerificationRequest>;
  /** Whether it has verified that device. */
  verified(user_id: string, device_id: string): Promise<boolean>;
  close(): void;
}

export async function otherClient(
  homeserver: string,
  { user, password }: { user: string; password: string },
): Promise<OtherClient> {
  silenceSdkConsole();
  const method = { kind: "password", user, password } as const;
  const { user_id, device_id, access_token } = await login({
    ...{ fetch, homeserver, method, device_name: "other" },
  });
  const client = new MatrixClient({
    baseUrl: homeserver,
    userId: user_id,
    deviceId: device_id,
    accessToken: access_token,
    store: new MemoryStore(),
    logger: sdkLogger(memoryLogger()),
  });
  await client.initRustCrypto({ useIndexedDB: false });
  // As a client does that shows what it decrypts.
  client.on(ClientEvent.Event, (event) => void client.decryptEventIfNeeded(event));
  await client.startClient();
  await eventually(() => client.getSyncState() === SyncState.Syncing);
  return {
    client,
    user_id,
    device_id,
    password,
    request: () => new Promise((resolve) => client.once(CryptoEvent.VerificationRequestReceived, resolve)),
    async verified(user, device) {
      const status = await client.getCrypto()?.getDeviceVerificationStatus(user, device);
      return status?.isVerified() ?? false;
    },
    close: () => client.stopClient(),
  };
}

export async function reaches(request: VerificationRequest, phase: VerificationPhase): Promise<void> {
  await eventually(() => request.phase >= phase);
}

/** Goes on to what is shown, and says yes. */
export async function agree(verifier: Verifier): Promise<string> {
  const done = verifier.verify();
  const callbacks =
    verifier.getShowSasCallbacks() ??
    (await new Promise<NonNullable<ReturnType<Verifier["getShowSasCallbacks"]>>>((resolve) =>
      verifier.once(VerifierEvent.ShowSas, resolve),
    ));
  await callbacks.confirm();
  await done;
  return JSON.stringify([callbacks.sas.emoji, callbacks.sas.decimal]);
}

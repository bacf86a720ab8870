import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Settings } from "../../state/settings.ts";
import type { Account } from "../api.ts";
import type { Alarm, Logger } from "../types.ts";
import { CrossSigning } from "./cross-signing.ts";
import { Devices } from "./devices.ts";
import { Recipients } from "./recipients.ts";
import { Recovery } from "./recovery.ts";
import type { RecoveryKeyHolder } from "./recovery-key.ts";
import { Verifications } from "./verification.ts";

/** Whose devices are whose, as far as this account can say and prove it. */
export interface Keys {
  readonly devices: Devices;
  readonly verifications: Verifications;
  readonly crossSigning: CrossSigning;
  readonly recovery: Recovery;
  readonly recipients: Recipients;
}

export interface KeysOptions {
  client: MatrixClient;
  crypto: RustCrypto;
  account: Account;
  settings: Settings;
  holder: RecoveryKeyHolder;
  ready: () => Promise<void>;
  revokedIn: (room_id: string) => ReadonlySet<string>;
  logger: Logger;
  alarm?: Alarm;
}

export function keysOf(options: KeysOptions): Keys {
  const recovery = new Recovery(options);
  const devices = new Devices(options);
  return {
    devices,
    verifications: new Verifications(options),
    crossSigning: new CrossSigning({ ...options, dropRecovery: () => recovery.disable() }),
    recovery,
    recipients: new Recipients({ ...options, devices }),
  };
}

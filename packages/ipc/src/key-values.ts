/** What the methods about devices, identities and keys take and give: the shapes of `--json` as well. */

/** All devices of a room's members, or those that their owners have signed. */
export type KeysTo = "all" | "signed";

/** A device of a user, as this one sees it. */
export interface DeviceInfo {
  user_id: string;
  device_id: string;
  /** What its owner calls it; anybody can write anything there. */
  display_name: string | null;
  /** Its Ed25519 key, unpadded base64 in groups of four. */
  fingerprint: string;
  this_device: boolean;
  verified: boolean;
  verified_by: "itself" | "cross_signing" | "this_machine" | null;
  /** By its owner's cross-signing identity, whether or not that is verified. */
  signed_by_owner: boolean;
}

/** A device that can't read what this machine sends. */
export type WithoutKeys = DeviceInfo & { why: "revoked" | "unsigned" | "identity_changed" };

/** How far an interactive verification has come. */
export type VerificationStage =
  | { type: "waiting" }
  /** Without a device where whichever accepts is the one. */
  | { type: "requested"; user_id: string; device_id: string | null }
  | { type: "accepted"; user_id: string; device_id: string }
  /** To be compared: seven symbols with their names, or three numbers. */
  | { type: "compare"; user_id: string; device_id: string; emoji: [string, string][]; decimal: number[] }
  | { type: "confirmed" };

export interface CrossSigningStatus {
  user_id: string;
  /** `elsewhere`: another device has the private keys. `interrupted`: they may be here and not published. */
  state: "none" | "ready" | "elsewhere" | "interrupted";
  /** Of the master key, unpadded base64 in groups of four. */
  fingerprint: string | null;
  device_id: string;
  device_signed: boolean;
  /** Whether secret storage has them. */
  recoverable: boolean;
}

export interface RecoveryStatus {
  /** Whether a recovery key opens anything. */
  enabled: boolean;
  cross_signing_stored: boolean;
  backup_version: string | null;
  /** Whether this machine adds its keys to the backup. */
  backup_active: boolean;
  room_keys: number;
  room_keys_backed_up: number;
}

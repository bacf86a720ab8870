import type { CrossSigningStatus, RecoveryStatus, Result } from "@mx-agent/ipc";
import { pairs } from "./table.ts";

const STATES = {
  none: "not set up; `mx-agent auth cross-signing bootstrap` makes it",
  ready: "set up",
  elsewhere: "set up by another device; `mx-agent recovery recover` brings its keys here",
  interrupted: "interrupted; run `mx-agent auth cross-signing bootstrap` or `reset` again",
} as const;

export function renderCrossSigning(status: CrossSigningStatus): string {
  return pairs([
    ["account", status.user_id],
    ["cross-signing", STATES[status.state]],
    ["fingerprint", status.fingerprint],
    ["this device", `${status.device_id}, ${status.device_signed ? "signed" : "not signed"}`],
    ["recoverable", status.recoverable ? "yes" : "no"],
  ]);
}

export function renderRecovery(status: RecoveryStatus): string {
  const { enabled, backup_version, backup_active, room_keys, room_keys_backed_up } = status;
  return pairs([
    ["recovery", enabled ? "enabled" : "not enabled; `mx-agent recovery enable`"],
    ["cross-signing keys", status.cross_signing_stored ? "stored" : "not stored"],
    ["backup", backup_version === null ? "none" : backup_active ? "active" : "not used by this machine"],
    ["room keys", `${room_keys}, ${room_keys_backed_up} backed up`],
  ]);
}

export function renderRecovered(done: Result<"recovery.recover">): string {
  return pairs([
    ["recovered", `${done.imported} of ${done.total} room keys`],
    [
      "cross-signing keys",
      done.cross_signing_stored ? "here, and this device is signed" : "none were stored",
    ],
  ]);
}

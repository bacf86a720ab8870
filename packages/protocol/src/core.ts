/**
 * Everything of the protocol but its schemas, for those who must start without a schema library: the
 * command line and what it imports.
 */
export {
  decodeBase64,
  decodeBase64Unpadded,
  encodeBase64,
  encodeBase64Unpadded,
} from "./base64.ts";
export { CanonicalJsonError, canonicalBytes, canonicalJson } from "./canonical-json.ts";
export { decodeChunk, encodeChunk } from "./chunks.ts";
export {
  defaultAgentId,
  type IdPrefix,
  isAgentId,
  isId,
  isOurId,
  newId,
  newNonce,
  type Random,
} from "./ids.ts";
export {
  type InviteLink,
  type InviteRole,
  inviteRoles,
  type ReadInviteLink,
  readInviteLink,
  writeInviteLink,
} from "./invite-link.ts";
export * from "./limits.ts";
export {
  AGENT_POWER_LEVEL,
  OPERATOR_POWER_LEVEL,
  statePowerLevels,
  workspacePowerLevels,
} from "./power-levels.ts";
export {
  isReason,
  type Machine,
  type Reason,
  type ReasonParams,
  type ReasonText,
  reasons,
  reasonText,
} from "./reasons.ts";
export { signRotation, verifyRotation } from "./rotation.ts";
export {
  type Binding,
  type BindingVerdict,
  type Carrier,
  claimedKeyId,
  requestDigest,
  type SignatureVerdict,
  sha256Base64,
  signContent,
  signedBytes,
  verifyBinding,
  verifySignature,
} from "./signing.ts";
export {
  decodePublicKey,
  encodePublicKey,
  exportSeed,
  fingerprintOf,
  generateSigningKey,
  importSigningKey,
  keyIdOf,
  type SigningKey,
} from "./signing-key.ts";
export {
  authorizeAction,
  type SignedTask,
  signOrigin,
  type TaskOrigin,
  verifyAuthorization,
  verifyOrigin,
} from "./task-signing.ts";
export { formatTime, isUtcTime, parseTime } from "./times.ts";
export type * from "./v1/contents.ts";
export type { Signature, StreamName } from "./v1/fields.ts";
export {
  type EventType,
  EventTypes,
  isEventType,
  isSignedType,
  type StateEventType,
  stateTypes,
  timelineTypes,
  toDeviceTypes,
} from "./v1/types.ts";

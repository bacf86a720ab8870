export {
  type ErrorCode,
  type ErrorJson,
  type ErrorOrigin,
  type ErrorParams,
  errorCatalogue,
  errorFromJson,
  isErrorCode,
  MxError,
  mxError,
  toMxError,
} from "./errors.ts";
export { failpoint } from "./failpoint.ts";
export type { FileIdentity } from "./file-identity.ts";
export { encodeFrame, FrameDecoder, MAX_FRAME_BYTES } from "./frames.ts";

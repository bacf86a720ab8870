export {
  type Config,
  type ConfigSources,
  defaultConfig,
  type EffectiveConfig,
  effectiveConfig,
  type LogFormat,
  type LogLevel,
  logFormats,
  logLevels,
  type Origin,
  parseConfig,
  type SettingName,
  settingNames,
  settings,
} from "./config.ts";
export {
  checkPrivateDir,
  type Dirs,
  type Env,
  ensurePrivateDir,
  ensurePrivateDirs,
  type Machine,
  resolveDirs,
} from "./dirs.ts";
export { type ErrorCode, errorCatalogue } from "./errors.ts";
export { failpoint } from "./failpoint.ts";
export type { FileIdentity } from "./file-identity.ts";
export { checkOwnFile, readPrivateFile, syncDirectory, writeFileAtomic } from "./files.ts";
export { encodeFrame, FrameDecoder, MAX_FRAME_BYTES } from "./frames.ts";
export { lastWords } from "./last-words.ts";
export { boundLog } from "./log-bound.ts";
export { oneLine } from "./log-human.ts";
export {
  type ErrorJson,
  type ErrorOrigin,
  type ErrorParams,
  errorFromJson,
  isErrorCode,
  MxError,
  mxError,
  toMxError,
} from "./mx-error.ts";
export { maskArgv, maskText, REDACTED, redact } from "./redact.ts";
export { isSecretField, isSecretName } from "./secret-names.ts";
export { shellWord } from "./shell-word.ts";
export { isSteeringName } from "./steering-names.ts";
export { version } from "./version.ts";

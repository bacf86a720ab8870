import type { Reason } from "@mx-agent/protocol";

/**
 * Why the policy denies, in two grains: the code is for this machine (`policy explain`, the audit log,
 * `expect = "deny:CODE"` of a [[test]]), the reason for the peer (PROTOCOL.md, "Reasons").
 */
interface CodeEntry {
  reason: DenyReason;
  meaning: string;
}

/** The part of PROTOCOL.md's catalogue of reasons that a policy can give. */
export type DenyReason = Extract<
  Reason,
  | "malformed_request"
  | "unverified_device"
  | "policy_denied"
  | "env_override_not_allowed"
  | "sandbox_required"
  | "tool_not_found"
  | "tool_input_invalid"
  | "spawn_failed"
>;

const catalogue = {
  policy_missing: { reason: "policy_denied", meaning: "there is no policy file" },
  policy_invalid: { reason: "policy_denied", meaning: "the policy file is malformed" },
  room_not_listed: { reason: "policy_denied", meaning: "no [rooms] table has this room" },
  user_not_listed: { reason: "policy_denied", meaning: "no entry of the room names this user" },
  room_not_trusted: { reason: "policy_denied", meaning: "a command needs `trusted = true` in the room" },
  exec_not_allowed: { reason: "policy_denied", meaning: "commands need `allow_exec = true`" },
  command_invalid: {
    reason: "malformed_request",
    meaning: "the command is empty, or an argument has a NUL byte",
  },
  command_not_found: { reason: "spawn_failed", meaning: "the command is allowed, but not there" },
  command_not_executable: {
    reason: "spawn_failed",
    meaning: "the command is allowed, but it is a directory or may not be executed",
  },
  command_not_allowed: { reason: "policy_denied", meaning: "the command is not in `allow_commands`" },
  command_changed: {
    reason: "policy_denied",
    meaning: "the file behind the command is not the one from when the policy was loaded",
  },
  cwd_not_allowed: { reason: "policy_denied", meaning: "the working directory is not inside `allow_cwd`" },
  cwd_not_found: { reason: "policy_denied", meaning: "the working directory is allowed, but not there" },
  args_denied: { reason: "policy_denied", meaning: "an argument matches `deny_args_regex`" },
  tool_not_found: { reason: "tool_not_found", meaning: "no [tools] table has this tool in this version" },
  tool_not_allowed: { reason: "policy_denied", meaning: "the tool is not in `allow_tools`" },
  tool_input_invalid: {
    reason: "tool_input_invalid",
    meaning: "the arguments do not fit the tool's `input`",
  },
  env_override_not_allowed: {
    reason: "env_override_not_allowed",
    meaning: "a requested variable is not in `env_allowlist`, or never comes from a peer",
  },
  sandbox_required: {
    reason: "sandbox_required",
    meaning: "the run would have no sandbox, without `allow_unsandboxed = true` or against `require_sandbox`",
  },
  unverified_device: { reason: "unverified_device", meaning: "`require_verified_device` is not met" },
} as const satisfies Record<string, CodeEntry>;

export type DenyCode = keyof typeof catalogue;
export const denyCodes: Readonly<Record<DenyCode, CodeEntry>> = catalogue;

export function isDenyCode(value: string): value is DenyCode {
  return Object.hasOwn(catalogue, value);
}

/** What an entry's checks hand to each other. */
import type { FileIdentity } from "@mx-agent/base";
import type { DenyCode } from "./codes.ts";
import type { PolicyRequest } from "./decision.ts";
import type { Machine } from "./machine.ts";
import type { Policy, Room, Tool } from "./model.ts";

export interface Refusal {
  code: DenyCode;
  /** The entry's key that decided. */
  key: string;
  /** For the operator. */
  detail: string;
  /** For the peer; null says nothing beyond the reason. */
  peer: string | null;
}

/** What will run, before limits. */
export interface Program {
  executable: FileIdentity;
  argv: string[];
  cwd: FileIdentity;
  /** Writable: the widest of allow_cwd around the working directory, or the tool's directory. */
  project: string;
  tool: Tool | null;
}

export const entryChecks = [
  "exec",
  "command",
  "tool",
  "input",
  "cwd",
  "args",
  "env",
  "sandbox",
  "device",
  "approval",
] as const;
export type EntryCheck = (typeof entryChecks)[number];

export interface Question {
  request: PolicyRequest;
  policy: Policy;
  room: Room;
  machine: Machine;
  /** Whether the verified device was demanded of the request as a whole, before the policy. */
  deviceChecked: boolean;
}

/** The check that refuses, and why. */
export type Step = { at: EntryCheck; refusal: Refusal };

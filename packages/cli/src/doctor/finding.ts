/** What `doctor` found about one thing. */

export const levels = ["ok", "warning", "error"] as const;
export type Level = (typeof levels)[number];

/** What is looked at, in the order in which one thing needs the other. */
export type CheckName =
  | "node"
  | "directories"
  | "configuration"
  | "disk"
  | "sockets"
  | "sandbox around"
  | "daemon"
  | "audit"
  | "runner"
  | "service"
  | "homeserver"
  | "clock"
  | "login"
  | "sync"
  | "keys"
  | "sandbox"
  | "limits"
  | "policy";

export interface Finding {
  check: CheckName;
  level: Level;
  detail: string;
  /** What to do; null where all is well. */
  hint: string | null;
  /** Does it, for `--fix`; says what was done. */
  fix?: () => Promise<string>;
}

export const ok = (check: CheckName, detail: string): Finding => ({ check, level: "ok", detail, hint: null });

export const warning = (check: CheckName, detail: string, hint: string, fix?: Finding["fix"]): Finding => ({
  ...{ check, level: "warning", detail, hint },
  ...(fix && { fix }),
});

export const failure = (check: CheckName, detail: string, hint: string, fix?: Finding["fix"]): Finding => ({
  ...{ check, level: "error", detail, hint },
  ...(fix && { fix }),
});

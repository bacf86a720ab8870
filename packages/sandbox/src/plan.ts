import type { FileIdentity } from "@mx-agent/base";
import type { MachineCapabilities, SandboxRequest } from "./api.ts";
import { planBubblewrap } from "./bubblewrap.ts";

/** What the runner knows when it plans a run. */
export interface SandboxContext {
  executable: FileIdentity;
  argv: readonly string[];
  cwd: FileIdentity;
  /** The child's environment, exactly. */
  env: Readonly<Record<string, string>>;
  /** Whose processes these are: root could read more of the system than others. */
  uid: number;
  capabilities: MachineCapabilities;
  /** What is at a path of this machine now, links followed. */
  kindOf: (path: string) => PathKind;
  /** How large each of the private directories may grow, in bytes. */
  private_bytes: number;
}

export type PathKind = "directory" | "file" | "missing";

/** A path that the starter opens, compares, and hands over as this descriptor. */
export interface OpenedPath {
  fd: number;
  path: string;
  /** What it must be; without one, it must still be its own real path. */
  identity?: FileIdentity;
}

/** Descriptors that a plan with a status uses beside 0 to 2. */
export const OPTIONS_FD = 3;
export const STATUS_FD = 4;
export const GATE_FD = 5;
export const FIRST_OPENED_FD = 6;

export interface SandboxPlan {
  /** The program to spawn, and its whole argv. */
  file: string;
  argv: string[];
  env: Record<string, string>;
  /** Where to spawn it. */
  cwd: FileIdentity | "/";
  opened: OpenedPath[];
  /**
   * null: `file` is the command itself. Otherwise a launcher's options, to be written NUL-terminated
   * to descriptor OPTIONS_FD (an environment does not belong on an argv that everybody can read), with
   * the launcher's JSON status to be read from STATUS_FD. The command starts once a byte comes from
   * GATE_FD: until then its process can be put under limits that it will inherit.
   */
  options: string[] | null;
}

/** Why a run cannot be confined as it was asked for. */
export interface SandboxRefusal {
  refused: {
    code: "SANDBOX_UNAVAILABLE" | "SANDBOX_PATH" | "SANDBOX_HIDES_PROGRAM";
    message: string;
  };
}

/** Makes the way to start a command under `request`. Pure; nothing is opened or started. */
export function planSandbox(request: SandboxRequest, context: SandboxContext): SandboxPlan | SandboxRefusal {
  switch (request.backend) {
    case "none":
      return {
        file: context.executable.path,
        argv: [...context.argv],
        env: { ...context.env },
        cwd: context.cwd,
        opened: [],
        options: null,
      };
    case "bubblewrap":
      return planBubblewrap(request, context);
  }
}

/** How a run is to be confined. Paths are real and absolute. */
export type SandboxRequest =
  | { backend: "none" }
  | {
      backend: "bubblewrap";
      network: "deny" | "allow";
      /** Writable, beside an empty HOME and /tmp: the project of the working directory. */
      writable_paths: string[];
      /** Shown read-only beside the system. */
      read_only_paths: string[];
      /** Never shown, whatever else is: our configuration, data and runtime directories. */
      hidden_paths: string[];
    };

/** What this machine can do, found by trying it. */
export interface MachineCapabilities {
  bubblewrap: { available: true; path: string; version: string } | { available: false; reason: string };
  /** How memory and process limits are enforced here. */
  limits: { kind: "cgroup"; root: string } | { kind: "watch"; reason: string };
}

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
  bubblewrap:
    | { available: true; path: string; version: string; features?: readonly BubblewrapFeature[] }
    | { available: false; reason: string };
  /** How memory and process limits are enforced here. */
  limits: { kind: "cgroup"; root: string } | { kind: "watch"; reason: string };
}

/** Options that not every bubblewrap has; absent means that none of them is known to be there. */
export type BubblewrapFeature = "bind_fd" | "disable_userns" | "argv0" | "size";

/** What the runs of one runner share. */
import { setTimeout as wait } from "node:timers/promises";
import { type MachineCapabilities, probeMachine } from "@mx-agent/sandbox";
import { Brands } from "./brand.ts";
import { Cgroups } from "./cgroup.ts";
import type { LaunchMachine } from "./launch.ts";
import type { Native } from "./native.ts";
import { Origins } from "./origins.ts";
import { bootId, childrenOf } from "./processes.ts";
import type { Spool } from "./spool.ts";
import { reapAdopted } from "./tree.ts";
import { LimitWatch } from "./watch.ts";

/** Between two tries to write an end record that the disk does not take. */
const RETRY_MS = 500;

export interface MachineOptions {
  native: Native | string;
  /** Whether what outlives its parents becomes a child of this process. */
  adopts: boolean;
  spool: Spool;
  hidden_paths: readonly string[];
  log: (line: string) => void;
}

export class Machine {
  readonly native: Native | string;
  readonly spool: Spool;
  readonly brands: Brands;
  readonly origins = new Origins();
  readonly boot_id = bootId();
  /** Pids that Node waits for itself. */
  readonly children = new Set<number>();
  readonly limits = new LimitWatch();
  readonly #adopts: boolean;
  readonly #hidden_paths: readonly string[];
  readonly #log: (line: string) => void;
  #capabilities: Promise<MachineCapabilities> | null = null;
  /** undefined: not looked for yet; null: there are none, and the watch does it. */
  #cgroups: Cgroups | null | undefined;

  constructor(options: MachineOptions) {
    this.native = options.native;
    this.spool = options.spool;
    this.brands = new Brands(options.native);
    this.#adopts = options.adopts;
    this.#hidden_paths = options.hidden_paths;
    this.#log = options.log;
  }

  now(): Date {
    return new Date();
  }

  /** What this machine can do; tried once, and again only after it could not do it. */
  async capabilities(): Promise<MachineCapabilities> {
    this.#capabilities ??= probeMachine();
    const found = await this.#capabilities;
    if (!found.bubblewrap.available) this.#capabilities = null;
    return found;
  }

  /** The kernel's limits, where this machine lets the runner divide a group. */
  async cgroups(): Promise<Cgroups | null> {
    const { limits } = await this.capabilities();
    if (this.#cgroups !== undefined) return this.#cgroups;
    const opened = limits.kind === "cgroup" ? Cgroups.open(limits.root) : limits.reason;
    if (typeof opened === "string") this.log(`memory and processes are limited by a watch: ${opened}`);
    this.#cgroups = typeof opened === "string" ? null : opened;
    return this.#cgroups;
  }

  async launching(): Promise<LaunchMachine> {
    return {
      native: this.native,
      capabilities: await this.capabilities(),
      hidden_paths: this.#hidden_paths,
      uid: process.getuid?.() ?? -1,
    };
  }

  /** Whether there can be processes of runs whose first one has ended: then only a look at all processes tells. */
  mayHaveOrphans(): boolean {
    return !this.#adopts || childrenOf(process.pid).some((pid) => !this.children.has(pid));
  }

  reap(): void {
    reapAdopted(this.native, this.children);
  }

  /** Owns a promise that nobody waits for: what goes wrong in it is in the log. */
  watch(work: Promise<unknown>): void {
    work.catch((error: unknown) =>
      this.log(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    );
  }

  log(line: string): void {
    this.#log(line);
  }

  /**
   * Repeats a write until it succeeds: a full disk delays the outcome of a run, and does not lose it. Where the very
   * directory was removed there is nobody left to ask for it.
   */
  async keepWriting(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        const gone = error instanceof Error && "code" in error && error.code === "ENOENT";
        this.log(
          `an end record cannot be written: ${error instanceof Error ? error.message : String(error)}`,
        );
        if (gone) return;
        await wait(RETRY_MS);
      }
    }
  }
}

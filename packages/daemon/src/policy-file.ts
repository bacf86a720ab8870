import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { checkOwnFile } from "@mx-agent/base";
import { type LoadedPolicy, loadPolicy, type Machine } from "@mx-agent/policy";

/** How often a changed file is noticed without a request, for tightening what runs already. */
const LOOK_EVERY_MS = 2_000;

/** policy.toml, read again when it changes; a file that cannot be read denies everything. */
export class PolicyFile {
  readonly file: string;
  readonly #machine: Machine;
  readonly #onChange: (policy: LoadedPolicy) => void;
  readonly #timer: NodeJS.Timeout;
  #seen = "";
  #loaded: LoadedPolicy;

  constructor(file: string, machine: Machine, onChange: (policy: LoadedPolicy) => void) {
    this.file = file;
    this.#machine = machine;
    this.#onChange = onChange;
    this.#seen = this.#stamp();
    this.#loaded = this.#load();
    this.#timer = setInterval(() => this.current(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  /** The policy as the file says it now. */
  current(): LoadedPolicy {
    const stamp = this.#stamp();
    if (stamp !== this.#seen) this.reload(stamp);
    return this.#loaded;
  }

  reload(stamp = this.#stamp()): LoadedPolicy {
    this.#seen = stamp;
    this.#loaded = this.#load();
    this.#onChange(this.#loaded);
    return this.#loaded;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #load(): LoadedPolicy {
    return loadPolicy(this.#text(), this.file, this.#machine);
  }

  #text(): string | null {
    try {
      checkOwnFile(this.file);
      return readFileSync(this.file, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
      // Not readable is not missing: say so, through a text that no policy can be.
      return `# ${this.file} cannot be read: ${error instanceof Error ? error.message : String(error)}\n= `;
    }
  }

  #stamp(): string {
    try {
      const { mtimeNs, size, ino } = statSync(this.file, { bigint: true });
      return `${ino}:${size}:${mtimeNs}`;
    } catch {
      return "";
    }
  }
}

/** The SHA-256 of a file in hex; null where it cannot be read. */
export function digestOf(file: string): string | null {
  try {
    return createHash("sha256").update(readFileSync(file)).digest("hex");
  } catch {
    return null;
  }
}

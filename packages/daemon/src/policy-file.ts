import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { checkOwnFile } from "@mx-agent/base";
import { type LoadedPolicy, loadPolicy, type Machine } from "@mx-agent/policy";

/** A file that was changed this long ago, or did not change for as long while it was looked at, is written whole. */
const SETTLED_MS = 200;
/** How often one that is being written is looked at before that is what is said of it. */
const LOOKS = 5;

/** A file as it is now, and for how long it has been so, in milliseconds, by what no tool that sets times can change. */
interface Look {
  stamp: string;
  age_ms: number;
}

const NOT_THERE = "not there";
const BEING_WRITTEN = "being written";

/**
 * policy.toml, read again when it changes; a file that cannot be read denies everything. Half of a file may be a
 * policy that allows more than the whole, so that one which is saved in place counts only when it has come to rest.
 */
export class PolicyFile {
  readonly file: string;
  readonly #machine: Machine;
  readonly #onChange: (policy: LoadedPolicy) => void;
  #seen = NOT_THERE;
  #loaded: LoadedPolicy;

  constructor(file: string, machine: Machine, onChange: (policy: LoadedPolicy) => void) {
    this.file = file;
    this.#machine = machine;
    this.#onChange = onChange;
    [this.#seen, this.#loaded] = this.#read();
  }

  /** The policy as the file says it now. */
  current(): LoadedPolicy {
    return this.#look().stamp === this.#seen ? this.#loaded : this.reload();
  }

  reload(): LoadedPolicy {
    [this.#seen, this.#loaded] = this.#read();
    this.#onChange(this.#loaded);
    return this.#loaded;
  }

  #read(): [stamp: string, LoadedPolicy] {
    for (let looks = 0; looks < LOOKS; looks++) {
      const { stamp, age_ms } = this.#look();
      const rests = stamp === this.#seen || age_ms >= SETTLED_MS;
      // For a moment nothing else is done: whoever asks next is to be answered by what was saved.
      if (!rests) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SETTLED_MS);
      const text = this.#text();
      if (this.#look().stamp === stamp) return [stamp, loadPolicy(text, this.file, this.#machine)];
    }
    const text = unusable(`${this.file} is being written to again and again`);
    return [BEING_WRITTEN, loadPolicy(text, this.file, this.#machine)];
  }

  #text(): string | null {
    try {
      checkOwnFile(this.file);
      return readFileSync(this.file, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
      // Not readable is not missing.
      return unusable(
        `${this.file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  #look(): Look {
    const stat = orNothing(() => statSync(this.file, { bigint: true }));
    // One that was there a moment ago may be on its way to another name, with the next one on its way to this.
    if (!stat) return { stamp: NOT_THERE, age_ms: 0 };
    const { ctimeNs, ctimeMs, size, ino } = stat;
    return { stamp: `${ino}:${size}:${ctimeNs}`, age_ms: Date.now() - Number(ctimeMs) };
  }
}

function orNothing<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

/** A text that no policy can be, so that what is wrong is said where a mistake in it would be. */
function unusable(why: string): string {
  return `# ${why}\n= `;
}

/** The SHA-256 of a file in hex; null where it cannot be read. */
export function digestOf(file: string): string | null {
  try {
    return createHash("sha256").update(readFileSync(file)).digest("hex");
  } catch {
    return null;
  }
}

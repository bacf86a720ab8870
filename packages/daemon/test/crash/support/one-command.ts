/** One command after another whose start leaves a line in a file, and what may have become of each. */
import { join } from "node:path";
import type { Ran, RunningCommand } from "../../../../cli/test/support/machine.ts";
import type { TwoDaemons } from "../../../../cli/test/support/two-daemons.ts";
import { linesOf } from "./box.ts";

export interface OneCommand {
  /** Gets a line each time the command begins. */
  file: string;
  live: RunningCommand;
}

export class Commands {
  readonly #they: TwoDaemons;
  /** How often each may have begun, in the end: none is started late. */
  readonly allowed = new Map<string, number[]>();

  constructor(they: TwoDaemons) {
    this.#they = they;
  }

  /** Says `out` and ends with 4. */
  start(): OneCommand {
    const file = join(this.#they.project, `starts-${this.allowed.size + 1}`);
    this.allowed.set(file, [1]);
    const words = ["sh", "-c", `echo started >> ${file}; echo out; exit 4`];
    return { file, live: this.#they.execLive(words, ["--stdin", "none"]) };
  }

  /** What is told otherwise than it was; null where it is the truth. `runnerDied`: whether it may be interrupted. */
  async wrongOf({ file }: OneCommand, ended: Ran, runnerDied: boolean): Promise<object | null> {
    const starts = await linesOf(file);
    const { code, stdout, stderr } = ended;
    if (code === 4 && stdout === "out\n" && starts === 1) return null;
    // Its daemon died before it had named the request, or before it had recorded it.
    const unasked =
      (code === 69 && stderr.includes("MX_DAEMON_UNREACHABLE")) ||
      (code === 3 && stderr.includes("MX_NOT_FOUND"));
    if (unasked && starts === 0) {
      this.allowed.set(file, [0]);
      return null;
    }
    if (runnerDied && code === 74 && stderr.includes("interrupted") && starts <= 1) {
      this.allowed.set(file, [0, 1]);
      return null;
    }
    return { ...ended, starts };
  }

  /** Commands that began later, or again. */
  async late(): Promise<string[]> {
    const late: string[] = [];
    for (const [file, numbers] of this.allowed) if (!numbers.includes(await linesOf(file))) late.push(file);
    return late;
  }
}

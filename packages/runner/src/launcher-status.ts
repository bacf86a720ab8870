/** What bubblewrap says about a run: which process it made, and whether the command ever ran. */
import type { Readable } from "node:stream";
import type { ChildExit } from "./launch.ts";
import { childrenOf, readProc } from "./processes.ts";

/** How often the command is looked for while the launcher sets up, in milliseconds. */
const LOOK_MS = 1;

export type RealExit =
  | ({ kind: "exited" } & ChildExit)
  | { kind: "not_started"; explain: (stderr: string) => { code: string; message: string } };

export class LauncherStatus {
  readonly #status: Readable | null;
  readonly #closed: Promise<void>;
  #text = "";

  /** null: there is no launcher, and the child's own status is the truth. */
  constructor(status: Readable | null) {
    this.#status = status;
    this.#closed = new Promise((resolve) => {
      if (status === null) return resolve();
      status.on("data", (chunk: Buffer) => {
        this.#text += chunk.toString("utf8");
      });
      status.on("error", () => resolve());
      status.on("close", resolve);
    });
  }

  /** Processes that hold the sandbox: a SIGTERM to them would end it without a grace. */
  spared(pid: number): ReadonlySet<number> {
    return this.#status === null ? new Set() : new Set([pid]);
  }

  /** The sandbox's first process, from which everything in it descends; null when the launcher ended before. */
  async init(): Promise<number | null> {
    let closed = this.#status === null;
    void this.#closed.then(() => {
      closed = true;
    });
    for (;;) {
      const init = this.#number("child-pid");
      if (init !== null || closed) return init;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  /** Resolves once the command has replaced the launcher in its process. */
  async running(pid: number): Promise<void> {
    if (this.#status === null) return;
    const launcher = readProc(`/proc/${pid}/cmdline`);
    for (;;) {
      const init = this.#number("child-pid");
      for (const child of init === null ? [] : childrenOf(init)) {
        const now = readProc(`/proc/${child}/cmdline`);
        if (now !== null && now !== "" && now !== launcher) return;
      }
      if (readProc(`/proc/${pid}/cmdline`) !== launcher) return;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  /** How the command itself ended. A launcher that could not start it has no exit code to tell. */
  async exit(exit: ChildExit): Promise<RealExit> {
    if (this.#status === null || exit.signal !== null) return { kind: "exited", ...exit };
    await this.#closed;
    const code = this.#number("exit-code");
    if (code !== null) return { kind: "exited", code, signal: null };
    return { kind: "not_started", explain };
  }

  #number(key: "child-pid" | "exit-code"): number | null {
    const found = new RegExp(`"${key}": (\\d+)`).exec(this.#text);
    return found === null ? null : Number(found[1]);
  }
}

const REASONS: readonly [RegExp, string][] = [
  [/execvp .*: No such file/, "ENOENT"],
  [/execvp .*: Permission denied/, "EACCES"],
  [/execvp .*: Exec format/, "ENOEXEC"],
];

function explain(stderr: string): { code: string; message: string } {
  const message = stderr.trim().split("\n").at(-1) ?? "";
  const code = REASONS.find(([pattern]) => pattern.test(message))?.[1] ?? "SANDBOX_UNAVAILABLE";
  return { code, message: message || "bubblewrap ended without saying why" };
}

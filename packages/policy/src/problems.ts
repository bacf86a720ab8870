import { type KeyPath, type Positions, showPath } from "./positions.ts";

/** What is wrong with a policy file. One problem denies everything. */
export interface Problem {
  file: string;
  /** From 1. */
  line: number;
  /** As written in TOML: rooms."!abc:example.org".agents."*".allow_cwd[1]; of a mistake of syntax what stands before it. */
  key: string;
  message: string;
}

/** What is allowed to be, but that an operator should know. */
export interface Warning extends Problem {
  code:
    | "first_implementation"
    /** Allows nothing, or is read by nothing. */
    | "unused"
    | "not_found"
    /** A command that runs whatever it is told, without a sandbox. */
    | "launcher"
    | "unsandboxed"
    /** A command that a run could replace. */
    | "writable_command"
    /** What this machine cannot do. */
    | "machine"
    | "environment"
    | "tool_input"
    | "overlap";
}

export function showProblem(problem: Problem): string {
  return `${problem.file}:${problem.line}: ${problem.key === "" ? "" : `${problem.key}: `}${problem.message}`;
}

/** Collects problems and warnings, and knows how to name a place. */
export class Report {
  readonly problems: Problem[] = [];
  readonly warnings: Warning[] = [];
  readonly file: string;
  readonly #positions: Positions;
  readonly #rules = new Map<string, string>();

  constructor(file: string, positions: Positions) {
    this.file = file;
    this.#positions = positions;
  }

  add(path: KeyPath, message: string): void {
    this.problems.push({ ...this.place(path), message });
  }

  warn(code: Warning["code"], path: KeyPath, message: string): void {
    this.warnings.push({ code, ...this.place(path), message });
  }

  place(path: KeyPath): { file: string; line: number; key: string } {
    return { file: this.file, line: this.#positions.line(path), key: showPath(path) };
  }

  /** `file:line key`. Asked for at each decision, and so kept. */
  rule(path: KeyPath): string {
    const id = path.join("\0");
    const known = this.#rules.get(id);
    if (known !== undefined) return known;
    const { file, line, key } = this.place(path);
    const rule = `${file}:${line} ${key}`;
    this.#rules.set(id, rule);
    return rule;
  }
}

/** Whether a log is what it was: each line follows the one before, and the checkpoints hold it. */
import type { AuditLine, AuditVerdict } from "@mx-agent/ipc";
import { checkCheckpoint } from "./checkpoint.ts";
import { firstSeqOf, readLines } from "./files.ts";
import { hashLine, NOTHING, type Position, parseLine } from "./line.ts";

export interface Verification extends AuditVerdict {
  /** The last line that a valid checkpoint holds; what follows could still be rewritten unnoticed. 0: none. */
  signed_through: number;
  /** Where the lines that were read end. */
  end: Position;
}

export interface VerifyOptions {
  /** Whether a key is, or was, this daemon's. */
  isOwn(key_id: string): boolean;
  /** Bytes of the last file that count: what is appended meanwhile is left out. */
  lastSize?: number;
  /** A position that somebody remembers: a running daemon, a peer, a copy of a published head. */
  remembered?: Position[];
  /** A single file out of a log: what came before it is not known. */
  single?: boolean;
}

/** Lines between two chances for other work. */
const BREATH = 2_000;

export async function verifyFiles(files: readonly string[], options: VerifyOptions): Promise<Verification> {
  const verifier = new Verifier(options);
  for (const [index, file] of files.entries()) {
    const last = index === files.length - 1;
    verifier.begin(file, index === 0);
    for (const raw of readLines(file, last ? options.lastSize : undefined)) {
      verifier.line(raw.text, raw.number, raw.ended);
      if (raw.number % BREATH === 0) await new Promise(setImmediate);
    }
  }
  return verifier.finish([...files]);
}

class Verifier {
  readonly #options: VerifyOptions;
  readonly #remembered: Position[];
  readonly #problems: AuditVerdict["problems"] = [];
  #file = "";
  #number = 0;
  #lines = 0;
  #checkpoints = 0;
  #signedThrough = 0;
  /** null: the line before is not known. */
  #before: Position | null = { seq: 0, hash: NOTHING };
  /** Where the log begins, when that is not its first line: it needs a record of what was removed. */
  #begins: { position: Position; file: string } | null = null;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#remembered = options.remembered ?? [];
  }

  begin(file: string, first: boolean): void {
    this.#file = file;
    this.#number = 0;
    const seq = firstSeqOf(file);
    if (first && (this.#options.single === true || (seq !== null && seq > 1))) this.#before = null;
  }

  line(text: Buffer, number: number, ended: boolean): void {
    this.#number = number;
    this.#lines++;
    const line = parseLine(text.toString("utf8"));
    const seq = line?.seq ?? (this.#before?.seq ?? 0) + 1;
    if (!ended) this.#problem("the line is not finished");
    else if (!line) this.#problem("is no line of an audit log");
    else this.#check(line);
    this.#before = { seq, hash: hashLine(text) };
    this.#compare(this.#before);
  }

  #check(line: AuditLine): void {
    if (this.#before === null) {
      if (this.#options.single !== true) {
        this.#begins = { position: { seq: line.seq - 1, hash: line.prev }, file: this.#file };
      }
    } else if (line.seq !== this.#before.seq + 1) {
      this.#problem(
        `has number ${line.seq}, and ${this.#before.seq + 1} is due: lines were removed, added or moved`,
      );
    } else if (line.prev !== this.#before.hash) {
      this.#problem("does not follow the line before: one of the two was changed");
    }
    if (line.kind === "checkpoint") {
      const wrong = checkCheckpoint(line, this.#options.isOwn);
      if (wrong !== null) this.#problem(wrong);
      else {
        this.#checkpoints++;
        if (this.#problems.length === 0) this.#signedThrough = line.seq;
      }
    } else if (line.signature !== undefined || line.public_key !== undefined) {
      this.#problem("carries a signature, and is no checkpoint: it was one");
    }
    const begins = this.#begins?.position;
    if (begins && line.kind === "daemon" && line.action === "audit_pruned") {
      if (line.through_seq === begins.seq && line.through_sha256 === begins.hash) this.#begins = null;
    }
  }

  #compare({ seq, hash }: Position): void {
    if (this.#remembered.some((known) => known.seq === seq && known.hash !== hash)) {
      this.#problem(`line ${seq} is not the one that is remembered: it, or one before it, was rewritten`);
    }
  }

  #problem(problem: string): void {
    this.#problems.push({ file: this.#file, line: this.#number, problem });
  }

  finish(files: string[]): Verification {
    const end = this.#before ?? { seq: 0, hash: NOTHING };
    if (this.#begins) {
      const { position, file } = this.#begins;
      this.#problems.unshift({
        file,
        line: 1,
        problem: `the lines up to ${position.seq} are missing, and no record says that they were pruned`,
      });
    }
    for (const { seq } of this.#remembered) {
      if (seq > end.seq)
        this.#problem(`the log ends with line ${end.seq}, and line ${seq} is remembered: it was cut`);
    }
    return {
      ok: this.#problems.length === 0,
      lines: this.#lines,
      files,
      checkpoints: this.#checkpoints,
      problems: this.#problems,
      signed_through: this.#signedThrough,
      end,
    };
  }
}

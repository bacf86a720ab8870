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
  /** Positions that somebody remembers: a peer, a copy of a published head. */
  remembered?: Position[];
  /** Where the running daemon knows that the log ends, and what it knows that it had. */
  own?: Position[];
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
  /** By number; there may be several for one, of which one at most is right. */
  readonly #remembered = new Map<number, string[]>();
  readonly #heads = { matched: 0, older: 0 };
  #first: number | null = null;
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
    for (const { seq, hash } of [...(options.remembered ?? []), ...(options.own ?? [])])
      this.#remembered.set(seq, [...(this.#remembered.get(seq) ?? []), hash]);
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
    this.#first ??= seq;
    const known = this.#remembered.get(seq);
    if (known?.some((one) => one !== hash))
      this.#problem(`line ${seq} is not the one that is remembered: it, or one before it, was rewritten`);
    if (known && this.#options.remembered?.some((one) => one.seq === seq && one.hash === hash))
      this.#heads.matched++;
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
    const last = Math.max(0, ...this.#remembered.keys());
    // A single file may be one of several; where a log ends, the last one says.
    if (last > end.seq && this.#options.single !== true)
      this.#problem(`the log ends with line ${end.seq}, and line ${last} is remembered: it was cut`);
    const first = this.#first ?? 0;
    this.#heads.older = (this.#options.remembered ?? []).filter(({ seq }) => seq < first).length;
    return {
      ok: this.#problems.length === 0,
      lines: this.#lines,
      files,
      checkpoints: this.#checkpoints,
      problems: this.#problems,
      heads: this.#heads,
      signed_through: this.#signedThrough,
      end,
    };
  }
}

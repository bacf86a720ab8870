import { unlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { ensurePrivateDir, mxError, syncDirectory } from "@mx-agent/base";
import type { AuditLine } from "@mx-agent/ipc";
import { AppendFile } from "./append-file.ts";
import { type AuditSigner, encodeCheckpoint } from "./checkpoint.ts";
import { fileName, firstSeqOf, logFiles, readLines, readLinesBackwards } from "./files.ts";
import { type AuditEntry, encodeLine, hashLine, type Position, parseLine } from "./line.ts";
import { endOf, hasLine, recover } from "./recovery.ts";
import { type Verification, verifyFiles } from "./verify.ts";

export interface AuditOptions {
  /** Made if it is missing; nobody else may enter it. */
  dir: string;
  clock(): Date;
  /** A file that would grow beyond this is ended, and the next one begun. */
  maxBytes?: number;
  /** Older files are removed, which is put on record; without it all are kept. */
  maxFiles?: number;
  /** Signs the head this often while lines come; 15 minutes if absent. */
  checkpointEveryMs?: number;
  /** null until there is a key; `signWith` sets it later. */
  signer?: AuditSigner | null;
  /** Whether a key is, or was, this daemon's; without it the one that signs now. */
  isOwnKey?(key_id: string): boolean;
  /** What is known of the log elsewhere than in its directory; without it nothing is. */
  memory?: AuditMemory;
  /** Told of a checkpoint that the timer could not write; the next append tells its own caller. */
  onError?(error: unknown): void;
}

/** Where the log stood when it was written last: what is there when it is opened has to go on from that. */
export interface AuditMemory {
  last(): Position | null;
  remember(position: Position): void;
  /** Lines that the log did not have any more when it was opened: somebody cut or rewrote it. */
  contradicted(): Position[];
  contradict(position: Position): void;
}

/** The head as peers remember it: protocol field `audit_head`. */
export interface SignedHead {
  seq: number;
  /** SHA-256 of that line, base64. */
  sha256: string;
}

/** A head that somebody else remembers; the key that published it, where that is known. */
export interface RememberedHere extends SignedHead {
  key_id?: string | null;
}

const MIB = 1_048_576;

/** Opens the log, repairs what a crash left, and puts that on record. @throws MX_CANNOT_WRITE, MX_INSECURE_PATH */
export function openAudit(options: AuditOptions): AuditLog {
  return new AuditLog(options);
}

/** The one writer of the audit log; the daemon's lock makes sure that there is one. */
export class AuditLog {
  readonly #options: AuditOptions;
  readonly #maxBytes: number;
  readonly #checkpointEveryMs: number;
  readonly #listeners = new Set<(line: AuditLine) => void>();
  readonly #timer: NodeJS.Timeout;
  #signer: AuditSigner | null;
  #file: AppendFile;
  #position: Position;
  #signed: SignedHead | null = null;
  #lastCheckpoint: number;

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#maxBytes = options.maxBytes ?? 32 * MIB;
    this.#checkpointEveryMs = options.checkpointEveryMs ?? 900_000;
    this.#signer = options.signer ?? null;
    this.#lastCheckpoint = options.clock().getTime();
    ensurePrivateDir(options.dir);
    const { file, position, records } = recover(options.dir);
    this.#file = file;
    this.#position = position;
    this.#signed = this.#lastSigned();
    const lost = this.#lost();
    if (lost) options.memory?.contradict(lost);
    this.#timer = setInterval(() => this.#onTimer(), this.#checkpointEveryMs);
    this.#timer.unref();
    for (const record of records) this.append(record);
    if (lost)
      this.append({
        ...{ kind: "daemon", action: "audit_contradicted" },
        ...{ remembered_seq: lost.seq, remembered_sha256: lost.hash },
      });
  }

  /** From now on this key signs checkpoints; null: none does, until there is one again. */
  signWith(signer: AuditSigner | null): void {
    this.#signer = signer;
  }

  /**
   * On the disk when it returns. Where it throws nothing may run; the line may be there all the same, where what failed
   * was to remember it.
   * @throws MX_CANNOT_WRITE, MX_STORE_DAMAGED
   */
  append(entry: AuditEntry): Position {
    return this.appendMany([entry])[0] ?? this.#position;
  }

  /** Several entries with one write and one sync: all of them are there, or none. */
  appendMany(entries: readonly AuditEntry[]): Position[] {
    if (entries.length === 0) return [];
    const written = this.#write(
      entries.map((entry) => (after: Position) => encodeLine(after, this.#now(), entry)),
    );
    if (this.#now().getTime() - this.#lastCheckpoint >= this.#checkpointEveryMs) this.#onTimer();
    return written;
  }

  /** Signs the head, if a key is there and lines came since it was signed last. */
  checkpoint(): SignedHead | null {
    if (this.#signer && this.#position.seq !== (this.#signed?.seq ?? 0)) this.#sign(this.#signer, this.#file);
    return this.#signed;
  }

  /** Where the log ends now, and what of it is signed: the signed head is what is published. */
  head(): Position & { signed: SignedHead | null } {
    return { ...this.#position, signed: this.#signed };
  }

  /** Lines that it did not have any more when it was opened, now or before: it is not what was written. */
  contradicted(): Position[] {
    return this.#options.memory?.contradicted() ?? [];
  }

  get warnings(): string[] {
    const text =
      "the audit log was cut or rewritten while the daemon was down: `mx-agent audit verify` says where";
    return this.contradicted().length > 0 ? [text] : [];
  }

  /** The last lines, oldest first. */
  tail(count: number): AuditLine[] {
    const found: AuditLine[] = [];
    for (const file of logFiles(this.#options.dir).toReversed()) {
      for (const bytes of readLinesBackwards(file)) {
        if (found.length >= count) return found.reverse();
        const line = parseLine(bytes.toString("utf8"));
        if (line) found.push(line);
      }
    }
    return found.reverse();
  }

  /** Calls for each line from now on, until the function that it answers is called. */
  follow(listener: (line: AuditLine) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Every line about an invocation, oldest first. */
  show(invocation_id: string): AuditLine[] {
    const found: AuditLine[] = [];
    const mention = JSON.stringify(invocation_id);
    for (const file of logFiles(this.#options.dir)) {
      for (const { text } of readLines(file)) {
        if (!text.includes(mention)) continue;
        const line = parseLine(text.toString("utf8"));
        if (line?.invocation_id === invocation_id) found.push(line);
      }
    }
    return found;
  }

  /**
   * The whole log, compared with what this process wrote; or one file on its own, by name or path. `heads`: what
   * others remember of it, by which a cut or a rewrite is found. Those under a key that never was ours are refused.
   * @throws MX_BAD_INPUT
   */
  async verify(file: string | null = null, heads: readonly RememberedHere[] = []): Promise<Verification> {
    const foreign = heads.find(({ key_id }) => key_id != null && !this.#isOwn(key_id));
    if (foreign)
      throw mxError("MX_BAD_INPUT", {
        detail: `head ${foreign.seq} is of ${foreign.key_id}, which is no key of this daemon`,
        hint: "`mx-agent audit heads --agent NAME` on the other machine shows those of one agent",
      });
    const remembered = heads.map(({ seq, sha256 }) => ({ seq, hash: sha256 }));
    if (file === null) return this.#verifyAll(remembered);
    const path = file.includes("/") ? file : join(this.#options.dir, file);
    const isOwn = (key_id: string) => this.#isOwn(key_id);
    return verifyFiles([path], { isOwn, single: firstSeqOf(path) !== 1, remembered });
  }

  /** Signs what is not signed yet, where that can be done, and lets go of the file. */
  close(): void {
    clearInterval(this.#timer);
    this.#onTimer();
    this.#listeners.clear();
    this.#file.close();
  }

  #verifyAll(remembered: Position[]): Promise<Verification> {
    const own = [...(this.#position.seq > 0 ? [{ ...this.#position }] : []), ...this.contradicted()];
    return verifyFiles(logFiles(this.#options.dir), {
      isOwn: (key_id) => this.#isOwn(key_id),
      lastSize: this.#file.size,
      remembered,
      own,
    });
  }

  #isOwn(key_id: string): boolean {
    return this.#options.isOwnKey?.(key_id) ?? key_id === this.#signer?.key_id;
  }

  #now(): Date {
    return this.#options.clock();
  }

  #write(encoders: ((after: Position) => ReturnType<typeof encodeLine>)[]): Position[] {
    const encoded: ReturnType<typeof encodeLine>[] = [];
    const encodeAll = () => {
      encoded.length = 0;
      for (const encode of encoders) encoded.push(encode(encoded.at(-1)?.position ?? this.#position));
      return Buffer.from(encoded.map(({ text }) => `${text}\n`).join(""));
    };
    let bytes = encodeAll();
    if (this.#file.size > 0 && this.#file.size + bytes.length > this.#maxBytes) {
      this.#rotate();
      bytes = encodeAll();
    }
    this.#file.append(bytes);
    this.#moveTo(encoded.at(-1)?.position ?? this.#position);
    for (const { line } of encoded) this.#tell(line);
    return encoded.map(({ position }) => position);
  }

  #moveTo(position: Position): void {
    this.#position = position;
    this.#options.memory?.remember(position);
  }

  /** The line that is remembered, where the log neither has it nor begins after it. */
  #lost(): Position | null {
    const last = this.#options.memory?.last() ?? null;
    return last && !hasLine(this.#options.dir, last) ? last : null;
  }

  #tell(line: AuditLine): void {
    for (const listener of this.#listeners) listener(line);
  }

  #sign(signer: AuditSigner, file: AppendFile): void {
    const { line, text, position } = encodeCheckpoint(this.#position, this.#now(), signer);
    file.append(Buffer.from(`${text}\n`));
    this.#moveTo(position);
    this.#signed = { seq: position.seq, sha256: position.hash };
    this.#lastCheckpoint = this.#now().getTime();
    this.#tell(line);
  }

  /** A checkpoint ends the file, and the next one follows its last line. */
  #rotate(): void {
    this.checkpoint();
    const next = AppendFile.create(join(this.#options.dir, fileName(this.#position.seq + 1)));
    this.#file.close();
    this.#file = next;
    this.#prune();
  }

  /** What is removed is put on record first; that record is what makes the log's new beginning honest. */
  #prune(): void {
    const { maxFiles, dir } = this.#options;
    const files = logFiles(dir);
    const removed = files.slice(0, Math.max(0, files.length - Math.max(1, maxFiles ?? files.length)));
    const [kept] = files.slice(removed.length);
    if (removed.length === 0 || kept === undefined) return;
    const through = endOf(removed);
    const record = {
      kind: "daemon" as const,
      action: "audit_pruned",
      files: removed.map((file) => basename(file)),
      through_seq: through.seq,
      through_sha256: through.hash,
    };
    const { line, text, position } = encodeLine(this.#position, this.#now(), record);
    this.#file.append(Buffer.from(`${text}\n`));
    this.#moveTo(position);
    this.#tell(line);
    for (const file of removed) unlinkSync(file);
    syncDirectory(dir);
  }

  #lastSigned(): SignedHead | null {
    // Each file but the last ends with a checkpoint, if there was a key at all.
    for (const file of logFiles(this.#options.dir).slice(-2).toReversed()) {
      for (const bytes of readLinesBackwards(file)) {
        const line = bytes.includes('"kind":"checkpoint"') ? parseLine(bytes.toString("utf8")) : null;
        if (line?.kind === "checkpoint") return { seq: line.seq, sha256: hashLine(bytes) };
      }
    }
    return null;
  }

  #onTimer(): void {
    try {
      this.checkpoint();
    } catch (error) {
      this.#options.onError?.(error);
    }
  }
}

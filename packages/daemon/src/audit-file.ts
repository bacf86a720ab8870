import { createHash } from "node:crypto";
import { closeSync, fdatasyncSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { AuditLine, AuditVerdict } from "@mx-agent/ipc";
import type { AuditSink } from "./audit-entries.ts";

/** Decisions and outcomes as JSON lines, each synced before it counts. */
export class AuditFile implements AuditSink {
  readonly #fd: number;
  readonly #file: string;
  readonly #listeners = new Set<(line: AuditLine) => void>();
  #seq = 0;
  #prev = "";

  constructor(dir: string) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#file = join(dir, "audit.jsonl");
    this.#fd = openSync(this.#file, "a", 0o600);
    const last = readFileSync(this.#file, "utf8").trimEnd().split("\n").at(-1);
    if (last) {
      this.#seq = Number(JSON.parse(last).seq);
      this.#prev = digest(last);
    }
  }

  show(invocation_id: string): AuditLine[] {
    return this.tail(Number.MAX_SAFE_INTEGER).filter((line) => line.invocation_id === invocation_id);
  }

  /** Calls for each line from now on, until the function it answers is called. */
  follow(listener: (line: AuditLine) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  verify(): AuditVerdict {
    const problems: AuditVerdict["problems"] = [];
    let prev = "";
    const lines = readFileSync(this.#file, "utf8").split("\n").filter(Boolean);
    for (const [index, text] of lines.entries()) {
      const line: AuditLine = JSON.parse(text);
      if (line.prev !== prev)
        problems.push({ file: this.#file, line: index + 1, problem: "does not follow the line before" });
      prev = digest(text);
    }
    return { ok: problems.length === 0, lines: lines.length, files: [this.#file], checkpoints: 0, problems };
  }

  append(entry: { kind: string } & Record<string, unknown>): void {
    const line = { seq: ++this.#seq, ts: new Date().toISOString(), prev: this.#prev, ...entry };
    const text = JSON.stringify(line);
    writeSync(this.#fd, `${text}\n`);
    this.#prev = digest(text);
    fdatasyncSync(this.#fd);
    for (const listener of this.#listeners) listener(line);
  }

  tail(count: number): AuditLine[] {
    const lines = readFileSync(this.#file, "utf8").split("\n").filter(Boolean);
    return count === 0 ? [] : lines.slice(-count).map((line): AuditLine => JSON.parse(line));
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const digest = (text: string) => createHash("sha256").update(text).digest("hex");

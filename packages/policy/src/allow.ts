/** `policy allow`: writes an entry into the text of a policy, and leaves every other character as it is. */
import { mxError } from "@mx-agent/base";
import { unifiedDiff } from "./diff.ts";
import { parseDocument } from "./parse.ts";
import { type KeyPath, Positions, showPath } from "./positions.ts";
import { showProblem } from "./problems.ts";
import type { AgentTable, Document } from "./schema.ts";

export interface Allowance {
  room: string;
  /** A Matrix user, `group:NAME`, or `*`. */
  user: string;
  /** Bare names or absolute paths. */
  commands: string[];
  /** Directories; absolute. */
  cwd: string[];
}

/**
 * The text with these commands allowed, in these directories, to this user in this room; and what
 * changed, as a unified diff (empty when all of it was allowed already). null stands for no file.
 * @throws MX_CONFIG when the text is malformed, or written in a way that cannot be edited line by line.
 */
export function allowAgent(
  text: string | null,
  allowance: Allowance,
  file = "policy.toml",
): { text: string; diff: string } {
  const before = text ?? "";
  const document = read(before === "" ? "version = 1\n" : before, file);
  const after = edit(before === "" ? "version = 1\n" : before, document, allowance);
  const written = read(after, file).rooms?.[allowance.room];
  const entry = written?.agents?.[allowance.user];
  const complete =
    written?.trusted === true &&
    entry?.allow_exec === true &&
    allowance.commands.every((command) => entry.allow_commands?.includes(command)) &&
    allowance.cwd.every((directory) => entry.allow_cwd?.includes(directory));
  if (!complete) {
    const place = showPath(["rooms", allowance.room, "agents", allowance.user]);
    throw mxError("MX_CONFIG", {
      file,
      detail: `${place} is written in a way that has to be edited by hand`,
    });
  }
  return { text: after, diff: unifiedDiff(before, after, file) };
}

function read(text: string, file: string): Document {
  const parsed = parseDocument(text, file);
  if (parsed.ok) return parsed.document;
  throw mxError("MX_CONFIG", { file, detail: parsed.report.problems.map(showProblem).join("; ") });
}

function edit(text: string, document: Document, { room, user, commands, cwd }: Allowance): string {
  const table = document.rooms?.[room];
  const entry = table?.agents?.[user] ?? {};
  const editor = new Editor(text);
  editor.table(["rooms", room], [{ key: "trusted", now: table?.trusted, value: true }]);
  editor.table(
    ["rooms", room, "agents", user],
    [
      { key: "allow_exec", now: entry.allow_exec, value: true },
      { key: "allow_commands", now: entry.allow_commands, value: commands },
      { key: "allow_cwd", now: entry.allow_cwd, value: cwd },
    ],
  );
  return editor.text();
}

type Setting =
  | { key: "trusted" | "allow_exec"; now: boolean | undefined; value: true }
  | { key: keyof AgentTable; now: string[] | undefined; value: string[] };

class Editor {
  readonly #text: string;
  readonly #positions: Positions;
  readonly #edits: { start: number; end: number; text: string }[] = [];
  #appended = "";

  constructor(text: string) {
    this.#text = text;
    this.#positions = new Positions(text);
  }

  /** Sets what is not so yet, behind the table's header or in a new table at the end. */
  table(path: KeyPath, settings: Setting[]): void {
    const missing: string[] = [];
    for (const setting of settings) {
      const at = [...path, setting.key];
      const span = this.#positions.value(at);
      if (typeof setting.value === "boolean") {
        if (setting.now === setting.value) continue;
        if (span) this.#edits.push({ ...span, text: String(setting.value) });
        else missing.push(`${setting.key} = ${setting.value}`);
      } else if (Array.isArray(setting.now) && span) {
        this.#extend(at, span, setting.now, setting.value);
      } else if (setting.value.length > 0) {
        missing.push(`${setting.key} = ${list(setting.value)}`);
      }
    }
    if (missing.length === 0) return;
    const header = this.#positions.header(path);
    const body = missing.join("\n");
    if (header) {
      const lineEnd = this.#text.indexOf("\n", header.end);
      const at = lineEnd < 0 ? this.#text.length : lineEnd;
      this.#edits.push({ start: at, end: at, text: `\n${body}` });
    } else {
      this.#appended += `\n[${showPath(path)}]\n${body}\n`;
    }
  }

  #extend(path: KeyPath, span: { start: number; end: number }, now: string[], wanted: string[]): void {
    const added = wanted.filter((item) => !now.includes(item));
    if (added.length === 0) return;
    const last = this.#positions.value([...path, now.length - 1]);
    if (last) this.#edits.push({ start: last.end, end: last.end, text: `, ${added.map(quote).join(", ")}` });
    else this.#edits.push({ ...span, text: list(added) });
  }

  text(): string {
    let text = this.#text;
    for (const edit of this.#edits.toSorted((a, b) => b.start - a.start)) {
      text = text.slice(0, edit.start) + edit.text + text.slice(edit.end);
    }
    if (this.#appended === "") return text;
    return `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${this.#appended}`;
  }
}

function list(items: string[]): string {
  return `[${items.map(quote).join(", ")}]`;
}

/** JSON's escapes are TOML's, but for DEL, which TOML wants escaped. */
function quote(item: string): string {
  return JSON.stringify(item).replaceAll("\u007f", "\\u007f");
}

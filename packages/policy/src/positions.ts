/**
 * Where each key of a TOML document stands: the parser gives positions for syntax errors alone, and a
 * mistake in meaning has to be found by a person as well. Reads documents that parsed; where a
 * document does not parse, the positions found are of no use, but finding them ends.
 */

export type KeyPath = readonly (string | number)[];

/** Offsets into the text; `end` is behind the last character. */
export interface Span {
  start: number;
  end: number;
}

export class Positions {
  readonly #lines = new Map<string, number>();
  readonly #values = new Map<string, Span>();
  readonly #headers = new Map<string, Span>();

  constructor(text: string) {
    new Scanner(text, {
      key: (path, line) => {
        // Every table on the way to a key has a line too: that of its first mention.
        for (let length = 1; length <= path.length; length++) {
          const id = JSON.stringify(path.slice(0, length));
          if (!this.#lines.has(id)) this.#lines.set(id, line);
        }
      },
      value: (path, span) => this.#values.set(JSON.stringify(path), span),
      header: (path, line, span) => {
        // Its own header is where a table is, even if a table inside it came first.
        const id = JSON.stringify(path);
        if (!this.#headers.has(id)) this.#lines.set(id, line);
        this.#headers.set(id, span);
      },
    }).document();
  }

  /** The line, from 1, of the key, or of the innermost table around it that the document names. */
  line(path: KeyPath): number {
    for (let length = path.length; length > 0; length--) {
      const line = this.#lines.get(JSON.stringify(path.slice(0, length)));
      if (line !== undefined) return line;
    }
    return 1;
  }

  /** Where the value of a key stands; null when it is not written as `key = value`. */
  value(path: KeyPath): Span | null {
    return this.#values.get(JSON.stringify(path)) ?? null;
  }

  /** Where `[the.table]` stands; null when it has no header of its own. */
  header(path: KeyPath): Span | null {
    return this.#headers.get(JSON.stringify(path)) ?? null;
  }

  /** Every path that was found. */
  paths(): KeyPath[] {
    return [...this.#lines.keys()].map((id): KeyPath => JSON.parse(id));
  }
}

const bareKey = /^[A-Za-z0-9_-]+$/;

/** A path as a person writes it in TOML: rooms."!abc:example.org".agents."*".allow_cwd[1] */
export function showPath(path: KeyPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += (text === "" ? "" : ".") + (bareKey.test(part) ? part : JSON.stringify(part));
  }
  return text;
}

interface Found {
  key(path: KeyPath, line: number): void;
  value(path: KeyPath, span: Span): void;
  header(path: KeyPath, line: number, span: Span): void;
}

class Scanner {
  readonly #text: string;
  readonly #found: Found;
  readonly #arrays = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string, found: Found) {
    this.#text = text;
    this.#found = found;
  }

  document(): void {
    let table: KeyPath = [];
    for (;;) {
      this.#blank();
      const char = this.#peek();
      if (char === "") return;
      if (char === "[") {
        const [line, start] = [this.#line, this.#at];
        const array = this.#text.startsWith("[[", this.#at);
        this.#skip(array ? 2 : 1);
        table = this.#tablePath(this.#keys(), array);
        this.#skip(array ? 2 : 1);
        this.#found.key(table, line);
        this.#found.header(table, line, { start, end: this.#at });
      } else {
        this.#assignment(table);
      }
    }
  }

  /** `[a.b]` names the last element of an array of tables `a`; `[[a]]` begins its next element. */
  #tablePath(keys: string[], array: boolean): KeyPath {
    const path: (string | number)[] = [];
    for (const [index, key] of keys.entries()) {
      path.push(key);
      const id = JSON.stringify(path);
      const last = index === keys.length - 1;
      const count = this.#arrays.get(id);
      if (last && array) {
        this.#arrays.set(id, (count ?? 0) + 1);
        path.push(count ?? 0);
      } else if (count !== undefined) {
        path.push(count - 1);
      }
    }
    return path;
  }

  #assignment(table: KeyPath): void {
    const line = this.#line;
    const path = [...table, ...this.#keys()];
    this.#found.key(path, line);
    if (this.#peek() === "=") this.#skip(1);
    else this.#restOfLine();
    this.#spaces();
    this.#value(path);
  }

  #keys(): string[] {
    const keys: string[] = [];
    for (;;) {
      this.#spaces();
      const char = this.#peek();
      keys.push(char === '"' || char === "'" ? this.#string() : this.#bare(/[A-Za-z0-9_-]/));
      this.#spaces();
      if (this.#peek() !== ".") return keys;
      this.#skip(1);
    }
  }

  #value(path: KeyPath): void {
    const char = this.#peek();
    const start = this.#at;
    if (char === '"' || char === "'") this.#string();
    else if (char === "[") this.#array(path);
    else if (char === "{") this.#inlineTable(path);
    else if (this.#bare(/[^,\]}#\r\n]/) === "") this.#skip(1);
    const end = start + this.#text.slice(start, this.#at).trimEnd().length;
    this.#found.value(path, { start, end });
  }

  #array(path: KeyPath): void {
    this.#skip(1);
    for (let index = 0; ; index++) {
      this.#blank();
      const char = this.#peek();
      if (char === "]" || char === "") break;
      this.#found.key([...path, index], this.#line);
      this.#value([...path, index]);
      this.#blank();
      if (this.#peek() === ",") this.#skip(1);
    }
    this.#skip(1);
  }

  #inlineTable(path: KeyPath): void {
    this.#skip(1);
    for (;;) {
      this.#blank();
      const char = this.#peek();
      if (char === "}" || char === "") break;
      if (char === ",") this.#skip(1);
      else this.#assignment(path);
    }
    this.#skip(1);
  }

  #string(): string {
    const quote = this.#peek();
    const long = this.#text.startsWith(quote.repeat(3), this.#at);
    const start = this.#at;
    this.#skip(long ? 3 : 1);
    while (this.#at < this.#text.length) {
      if (this.#peek() === "\\" && quote === '"') {
        this.#skip(2);
      } else if (long ? this.#text.startsWith(quote.repeat(3), this.#at) : this.#peek() === quote) {
        this.#skip(long ? 3 : 1);
        // Up to two quotes may stand right before the closing three.
        while (long && this.#peek() === quote) this.#skip(1);
        break;
      } else if (!long && this.#peek() === "\n") {
        break;
      } else {
        this.#skip(1);
      }
    }
    const raw = this.#text.slice(start, this.#at);
    return quote === "'" ? raw.slice(1, -1) : unescapeKey(raw);
  }

  #bare(allowed: RegExp): string {
    const start = this.#at;
    while (allowed.test(this.#peek())) this.#skip(1);
    return this.#text.slice(start, this.#at);
  }

  #spaces(): void {
    while (this.#peek() === " " || this.#peek() === "\t") this.#skip(1);
  }

  /** White space, line breaks and comments. */
  #blank(): void {
    for (;;) {
      const char = this.#peek();
      if (char === "#") this.#restOfLine();
      else if (char !== "" && char.trim() === "") this.#skip(1);
      else return;
    }
  }

  #restOfLine(): void {
    while (this.#peek() !== "" && this.#peek() !== "\n") this.#skip(1);
  }

  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  #skip(count: number): void {
    for (let i = 0; i < count && this.#at < this.#text.length; i++) {
      if (this.#peek() === "\n") this.#line++;
      this.#at++;
    }
  }
}

/** A quoted key's text. JSON knows the same escapes, but for TOML's \e, \x and \U. */
function unescapeKey(raw: string): string {
  const json = raw.replace(
    /\\(?:U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|e|[^Ux])/g,
    (sequence, long?: string, short?: string) => {
      const digits = long ?? short;
      if (digits !== undefined) return JSON.stringify(codePoint(Number.parseInt(digits, 16))).slice(1, -1);
      return sequence === "\\e" ? "\\u001b" : sequence;
    },
  );
  try {
    const text: unknown = JSON.parse(json.replaceAll("\t", "\\t"));
    return typeof text === "string" ? text : raw;
  } catch {
    return raw;
  }
}

function codePoint(value: number): string {
  return value <= 0x10ffff ? String.fromCodePoint(value) : "\ufffd";
}

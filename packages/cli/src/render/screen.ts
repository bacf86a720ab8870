/** How wide a text may be. */
import type { Terminal } from "../cli.ts";

/** Characters in a line of a terminal; Infinity where the reader is a file or a program. */
export function columnsOf(stream: Terminal): number {
  return stream.isTTY === true && stream.columns !== undefined && stream.columns > 0
    ? stream.columns
    : Number.POSITIVE_INFINITY;
}

/** What a terminal shows two columns wide, and what it puts onto the character before. */
const WIDE =
  /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}|[\u3000-\u303f\uff01-\uff60]/u;
const NONE = /[\p{M}\u200b-\u200d]/u;

/** In columns of a terminal. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  return [...text].reduce((sum, one) => sum + (NONE.test(one) ? 0 : WIDE.test(one) ? 2 : 1), 0);
}

export function padded(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - widthOf(text)));
}

/** The line, cut to the width; a cut is seen. */
export function cut(line: string, columns: number): string {
  if (widthOf(line) <= columns) return line;
  let shown = "";
  for (const one of line) {
    if (widthOf(shown + one) > columns - 3) break;
    shown += one;
  }
  return `${shown}...`;
}

/** Paragraphs broken anew for the width. Lines that are set in stay as they are: they are something to type. */
export function reflow(text: string, columns: number): string {
  const lines: string[] = [];
  let open = false;
  for (const line of text.split("\n")) {
    if (line.trim() === "" || line.startsWith("  ")) {
      lines.push(line);
      open = false;
      continue;
    }
    for (const word of line.split(" ")) {
      const last = lines.at(-1) ?? "";
      if (open && last.length + 1 + word.length <= columns) lines[lines.length - 1] = `${last} ${word}`;
      else lines.push(word);
      open = true;
    }
  }
  return lines.join("\n");
}

/** How wide a text may be. */
import type { Terminal } from "../cli.ts";

/** Characters in a line of a terminal; Infinity where the reader is a file or a program. */
export function columnsOf(stream: Terminal): number {
  return stream.isTTY === true && stream.columns !== undefined && stream.columns > 0
    ? stream.columns
    : Number.POSITIVE_INFINITY;
}

/** The line, cut to the width; a cut is seen. */
export function cut(line: string, columns: number): string {
  const characters = [...line];
  return characters.length <= columns ? line : `${characters.slice(0, Math.max(0, columns - 3)).join("")}...`;
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

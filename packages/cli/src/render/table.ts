import { padded, widthOf } from "./screen.ts";
import { visible } from "./style.ts";

/**
 * Columns side by side, two spaces apart, with a heading; nothing at all for no rows. Where that is wider than the
 * screen, a block of lines for each row instead.
 */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number,
): string {
  if (rows.length === 0) return "";
  const lines = [headings, ...rows].map((row) => row.map(visible));
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column] ?? ""))));
  if (widths.reduce((sum, width) => sum + width + 2, -2) > columns) return blocks(headings, rows);
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column === line.length - 1 ? cell : padded(cell, widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function blocks(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows
    .map((row) => pairs(headings.map((heading, column) => [heading.toLowerCase(), row[column] || null])))
    .join("\n\n");
}

/** Names and what they stand for, one in a line; those without a value are left out. */
export function pairs(entries: readonly (readonly [name: string, value: string | null])[]): string {
  const shown = entries.filter((entry): entry is readonly [string, string] => entry[1] !== null);
  const width = Math.max(0, ...shown.map(([name]) => name.length)) + 1;
  return shown.map(([name, value]) => `${`${name}:`.padEnd(width)} ${visible(value)}`).join("\n");
}

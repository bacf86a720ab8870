/** Reading typed columns from rows that SQLite hands out as unknown. A wrong type is damage, and throws. */
import { mxError } from "@mx-agent/base";

type Row = Record<string, unknown>;

function wrong(column: string): never {
  throw mxError("MX_STORE_DAMAGED", {
    file: "state.db",
    detail: `column ${column} has an unexpected type`,
    hint: "restore the copy beside it",
  });
}

export function text(row: Row, column: string): string {
  const value = row[column];
  return typeof value === "string" ? value : wrong(column);
}

export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

export function integer(row: Row, column: string): number {
  const value = row[column];
  return typeof value === "number" ? value : wrong(column);
}

export function integerOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : integer(row, column);
}

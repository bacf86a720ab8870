import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import type { Row } from "./row.ts";

const heads = ["what", "against", "n", "median", "p95", "ratio", "95 % interval", "aim", "verdict"];

/** The rows as a markdown table; it reads well on a terminal too. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.what,
    row.against,
    String(row.n),
    `${short(row.median)} ${row.unit}`,
    row.p95 === undefined ? "" : short(row.p95),
    row.ratio === undefined ? "" : short(row.ratio),
    row.interval ? `${short(row.interval[0])} – ${short(row.interval[1])}` : "",
    row.aim,
    row.verdict,
  ]);
  const widths = heads.map((head, i) => Math.max(head.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  return [
    line(heads),
    `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`,
    ...cells.map(line),
  ].join("\n");
}

function short(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toPrecision(value < 1 ? 2 : 3);
}

/** Where and when: what a number means nothing without. */
export function machine(): string {
  const [cpu] = cpus();
  const gib = (totalmem() / 2 ** 30).toFixed(0);
  return `${new Date().toISOString().slice(0, 10)}, ${cpu?.model ?? "unknown processor"} × ${cpus().length}, ${gib} GiB, ${process.platform} ${release()}, Node ${process.versions.node}, commit ${commit()}`;
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

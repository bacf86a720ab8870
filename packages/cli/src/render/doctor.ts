import type { Cli } from "../cli.ts";
import type { Finding, Level } from "../doctor/finding.ts";
import { counted } from "./count.ts";
import { type Colour, painter, visible } from "./style.ts";

export interface Examination {
  /** The worst of all. */
  level: string;
  findings: (Omit<Finding, "fix"> & { fixable: boolean })[];
  fixed: string[];
  not_fixed: string[];
}

const colours: Record<Level, Colour> = { ok: "green", warning: "yellow", error: "red" };

export function renderDoctor({ findings, fixed, not_fixed }: Examination, cli: Cli, fix: boolean): string {
  const paint = painter(cli.stdout, cli.env);
  const lines = findings.flatMap(({ check, level, detail, hint }) => [
    `${paint(colours[level], level.padEnd(7))}  ${check}: ${visible(detail)}`,
    ...(hint === null ? [] : [`         next: ${visible(hint)}`]),
  ]);
  const errors = findings.filter(({ level }) => level === "error").length;
  const warnings = findings.filter(({ level }) => level === "warning").length;
  const fixable = findings.some((finding) => finding.fixable);
  return [
    ...fixed.map((text) => `fixed    ${visible(text)}`),
    ...not_fixed.map((text) => `${paint("red", "failed")}   ${visible(text)}`),
    ...lines,
    `\n${counted(errors, "error")}, ${counted(warnings, "warning")}${fixable && !fix ? "; `mx-agent doctor --fix` repairs some of it" : ""}`,
  ].join("\n");
}

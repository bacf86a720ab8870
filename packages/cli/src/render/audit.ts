import type { AuditLine, AuditVerdict } from "@mx-agent/ipc";
import { visible } from "./style.ts";

/** Number, time, what happened, and the rest as it is on record. */
export function renderAuditLine({ seq, ts, kind, prev: _, ...rest }: AuditLine): string {
  const fields = Object.entries(rest)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return visible([seq, ts, kind, ...fields].join(" "));
}

export function renderVerdict(verdict: AuditVerdict): string {
  const head = verdict.ok
    ? `ok: ${verdict.lines} entries, ${verdict.checkpoints} signed checkpoints`
    : `NOT as it was written: ${verdict.problems.length} problems in ${verdict.lines} entries`;
  const files = verdict.files.map((file) => `  ${visible(file)}`);
  const problems = verdict.problems.map(
    ({ file, line, problem }) => `  ${visible(file)}:${line}: ${visible(problem)}`,
  );
  return [head, ...files, ...problems].join("\n");
}

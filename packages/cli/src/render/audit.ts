import type { AuditLine, AuditVerdict, RememberedHead } from "@mx-agent/ipc";
import { visible } from "./style.ts";
import { table } from "./table.ts";

/** Number, time, what happened, and the rest as it is on record. */
export function renderAuditLine({ seq, ts, kind, prev: _, ...rest }: AuditLine): string {
  const fields = Object.entries(rest)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return visible([seq, ts, kind, ...fields].join(" "));
}

export function renderHeads(heads: readonly RememberedHead[], columns: number): string {
  if (heads.length === 0)
    return "no heads: agents publish them once they have a record, and only of approved ones they are kept";
  return table(
    ["AGENT", "LINE", "SHA-256", "SEEN", "ROOM"],
    heads.map(({ agent_id, seq, sha256, seen_at, room_id }) => [
      agent_id,
      String(seq),
      sha256,
      seen_at,
      room_id,
    ]),
    columns,
  );
}

/** `given`: with how many remembered heads it was compared. */
export function renderVerdict(verdict: AuditVerdict, given = 0): string {
  const head = verdict.ok
    ? `ok: ${verdict.lines} entries, ${verdict.checkpoints} signed checkpoints`
    : `NOT as it was written: ${verdict.problems.length} problems in ${verdict.lines} entries`;
  const files = verdict.files.map((file) => `  ${visible(file)}`);
  const problems = verdict.problems.map(
    ({ file, line, problem }) => `  ${visible(file)}:${line}: ${visible(problem)}`,
  );
  const { matched, older } = verdict.heads;
  const compared =
    given === 0
      ? []
      : [
          `  ${matched} of ${given} remembered heads are lines of it${older > 0 ? `, ${older} are of before it begins` : ""}`,
        ];
  return [head, ...files, ...compared, ...problems].join("\n");
}

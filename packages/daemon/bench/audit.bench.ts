import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateSigningKey } from "@mx-agent/protocol";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { signerOf } from "../src/audit/checkpoint.ts";
import { openAudit } from "../src/audit/log.ts";

export const name = "audit";
export const description =
  "Entries of the audit log per second, each synced, against bare write and fdatasync of the same bytes";

const GROUP = 16;
const entry = {
  kind: "decision" as const,
  decision: "allow",
  rule: 'policy.toml:12 rooms."!abc:example.org".agents."group:builders"',
  room_id: "!abc:example.org",
  sender: "@ci:example.org",
  invocation_id: "inv_01HZ8QK3M9V0X2YJ4N6P7R5T8W",
  command: ["npm", "run", "test", "--workspace", "packages/app"],
  cwd: "/srv/project",
};

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  const directory = mkdtempSync(join(tmpdir(), "mx-audit-bench-"));
  const entries = Math.max(64, Math.round(512 * scale));
  const rounds = Math.max(5, Math.round(20 * scale));
  const signer = signerOf(generateSigningKey());
  const log = openAudit({ dir: join(directory, "audit"), clock: () => new Date(), signer });
  const bare = openSync(join(directory, "bare"), "a");
  const [ours, theirs, grouped]: [number[], number[], number[]] = [[], [], []];
  try {
    for (let round = 0; round < rounds; round++) {
      ours.push(perSecond(entries, () => log.append(entry)));
      const bytes = Buffer.from(`${JSON.stringify(log.tail(1)[0])}\n`);
      theirs.push(
        perSecond(entries, () => {
          writeSync(bare, bytes);
          fdatasyncSync(bare);
        }),
      );
      const group = Array.from({ length: GROUP }, () => entry);
      grouped.push(perSecond(entries / GROUP, () => log.appendMany(group)) * GROUP);
      say(`${round + 1} of ${rounds}`);
    }
    const start = performance.now();
    const { lines } = await log.verify();
    const verified = lines / ((performance.now() - start) / 1000);
    const against = `bare write and fdatasync, ${median(theirs).toFixed(0)}/s`;
    return [
      compared({ what: "audit entries, each synced", against, unit: "1/s", aim: "" }, ours, theirs),
      compared({ what: `audit entries, ${GROUP} to a sync`, against, unit: "1/s", aim: "" }, grouped, theirs),
      {
        what: "audit lines verified",
        against: "",
        n: 1,
        median: verified,
        p95: undefined,
        unit: "1/s",
        ratio: undefined,
        interval: undefined,
        aim: "",
        verdict: "reported",
      },
    ];
  } finally {
    log.close();
    closeSync(bare);
    rmSync(directory, { recursive: true, force: true });
  }
}

function perSecond(times: number, one: () => void): number {
  const start = performance.now();
  for (let i = 0; i < times; i++) one();
  return times / ((performance.now() - start) / 1000);
}

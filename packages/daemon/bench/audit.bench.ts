/**
 * The audit log against bare write and fdatasync of the same bytes, side by side in one run: one entry
 * for each sync, and several (group commit); and how many lines a second are verified.
 *
 *   node packages/daemon/bench/audit.bench.ts [ENTRIES]
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateSigningKey } from "@mx-agent/protocol";
import { signerOf } from "../src/audit/checkpoint.ts";
import { openAudit } from "../src/audit/log.ts";

const [entries = 1024] = process.argv.slice(2).map(Number);
const GROUP = 16;
const ROUNDS = 5;
const directory = mkdtempSync(join(tmpdir(), "mx-audit-bench-"));
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

const log = openAudit({
  dir: join(directory, "audit"),
  clock: () => new Date(),
  signer: signerOf(generateSigningKey()),
});
const bare = openSync(join(directory, "bare"), "a");
try {
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const single = perSecond(entries, () => log.append(entry));
    const [line] = log.tail(1);
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    const plain = perSecond(entries, () => {
      writeSync(bare, bytes);
      fdatasyncSync(bare);
    });
    const group = Array.from({ length: GROUP }, () => entry);
    const grouped = perSecond(entries / GROUP, () => log.appendMany(group)) * GROUP;
    ratios.push(single / plain);
    console.log(
      `entries/s on the disk: log ${single.toFixed(0)}, bare ${plain.toFixed(0)}, ratio ${(single / plain).toFixed(2)}; log in groups of ${GROUP} ${grouped.toFixed(0)}`,
    );
  }
  ratios.sort((a, b) => a - b);
  console.log(`ratio, median of ${ROUNDS}: ${ratios[Math.floor(ROUNDS / 2)]?.toFixed(2)}`);
  const start = performance.now();
  const { lines, ok } = await log.verify();
  console.log(
    `verified ${lines} lines (${ok ? "ok" : "damaged"}): ${((lines / (performance.now() - start)) * 1000).toFixed(0)} lines/s`,
  );
} finally {
  log.close();
  closeSync(bare);
  rmSync(directory, { recursive: true, force: true });
}

function perSecond(count: number, work: () => unknown): number {
  const start = performance.now();
  for (let i = 0; i < count; i++) work();
  return (count / (performance.now() - start)) * 1000;
}

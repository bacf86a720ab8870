/**
 * Runs the benchmarks, packages/*\/bench/*.bench.ts, one after the other, and prints a table.
 *
 *   npm run bench [-- NAME…] [--list] [--markdown FILE]
 *
 * NAME is a part of a benchmark's name. MX_BENCH_SCALE makes every one smaller (0.1: a tenth of the samples).
 */
import { globSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Bench, Row } from "./bench/row.ts";
import { machine, table } from "./bench/table.ts";
import { root } from "./tasks.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: "boolean" }, markdown: { type: "string" } },
});
const files = globSync("packages/*/bench/*.bench.ts", { cwd: root }).sort();
const wanted = (name: string) => positionals.length === 0 || positionals.some((part) => name.includes(part));

const sections: string[] = [];
let failed = false;
let found = 0;
for (const file of files) {
  const bench: Partial<Bench> = await import(join(root, file));
  if (!bench.name || !bench.description || !bench.run) {
    process.stderr.write(`${file} exports no name, description and run\n`);
    failed = true;
    continue;
  }
  if (!wanted(bench.name)) continue;
  found += 1;
  if (values.list) {
    process.stdout.write(`${bench.name}: ${bench.description}\n`);
    continue;
  }
  process.stderr.write(`\n== ${bench.name}: ${bench.description}\n`);
  try {
    const rows: Row[] = await bench.run({
      scale: Number(process.env.MX_BENCH_SCALE ?? 1),
      say: (line) => process.stderr.write(`   ${line}\n`),
    });
    process.stdout.write(`\n${table(rows)}\n`);
    sections.push(`## ${bench.name}\n\n${bench.description}\n\n${table(rows)}\n`);
  } catch (error) {
    process.stderr.write(`${bench.name}: ${error instanceof Error ? error.stack : String(error)}\n`);
    failed = true;
  }
}
if (found === 0 && !failed) {
  process.stderr.write(`no benchmark is called ${positionals.join(" or ")}\n`);
  process.exit(64);
}
if (values.markdown !== undefined && sections.length > 0)
  writeFileSync(values.markdown, `# Measurements\n\n${machine()}\n\n${sections.join("\n")}`);
process.exit(failed ? 1 : 0);

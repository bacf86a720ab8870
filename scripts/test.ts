/**
 * Types, lint, build and tests, in that order. The last line is `N passed, N failed, N skipped`.
 *
 * --homeserver embedded|synapse: where the journeys run; with synapse only the journeys run.
 * --long: only the long runs, whose size is MX_TEST_SCALE.
 * Other arguments go to vitest (a file name, `-t NAME`).
 *
 * With CI set, up to three files that failed are run once more, alone, and that result counts. What
 * passes only then is unsteady: it is named at the end, with what it said when it failed.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { count, type FileResult, failedFiles, failuresOf, merged, skipped } from "./report.ts";
import { build, lint, root, step, types } from "./tasks.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { homeserver: { type: "string" }, long: { type: "boolean" } },
});
const homeserver = String(values.homeserver ?? "embedded");
const only = values.long ? "long" : values.homeserver ? "journey" : undefined;
const projects = only ? [only] : ["unit", "journey"];

let failedSteps = 0;
if (!only) for (const run of [types, lint]) if (!(await run())) failedSteps++;
if (!(await build())) failedSteps++;

mkdirSync(join(root, ".cache"), { recursive: true });

/** One run of vitest. `name` tells its report from those of other runs. */
async function run(
  title: string,
  name: string,
  args: string[],
): Promise<{ well: boolean; files: FileResult[] }> {
  const report = join(root, ".cache", `report-${only ?? "all"}-${homeserver}${name}.json`);
  // What is counted is of this run, or there is nothing to count.
  rmSync(report, { force: true });
  const well = await step(
    `${title} (${projects.join(", ")}; homeserver: ${homeserver})`,
    "vitest",
    [
      "run",
      "--config=scripts/vitest.config.ts",
      ...projects.map((project) => `--project=${project}`),
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
      "--passWithNoTests",
      ...args,
    ],
    { MX_TEST_HOMESERVER: homeserver },
  );
  return { well, files: JSON.parse(readFileSync(report, "utf8")).testResults };
}

let { well, files } = await run("tests", "", positionals.map(String));
const first = failedFiles(files);
if (process.env.CI && first.length > 0 && first.length <= 3) {
  const again = await run(
    "what failed, alone",
    "-again",
    first.map((file) => file.name),
  );
  well = again.well;
  files = merged(files, again.files);
  const steady = new Set(failedFiles(files).map((file) => file.name));
  for (const file of first)
    if (!steady.has(file.name))
      process.stderr.write(`\nunsteady: failed among others, passed alone:\n${failuresOf(file)}\n`);
}

const broken = failedFiles(files);
for (const file of broken) process.stderr.write(`\nfailed: ${failuresOf(file)}\n`);
const left = skipped(files);
const allowed = new Set(
  readFileSync(join(root, "scripts", "allowed-skips.txt"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#")),
);
const surprising = process.env.CI ? left.filter((name) => !allowed.has(name)) : [];
for (const name of surprising)
  process.stderr.write(`skipped, and not in scripts/allowed-skips.txt: ${name}\n`);

// A file whose preparation failed, or that could not be loaded, has no failed test; it is a failure all the same.
const told = count(files, "failed") + broken.filter((file) => count([file], "failed") === 0).length;
// An error outside of any test (in a timer, say) fails vitest, but none of its tests.
const untold = well || told > 0 ? 0 : 1;
if (untold > 0) process.stderr.write("vitest failed, though none of its tests did: see above\n");
const failed = told + untold + failedSteps + surprising.length;
process.stdout.write(`${count(files, "passed")} passed, ${failed} failed, ${left.length} skipped\n`);
process.exit(failed === 0 ? 0 : 1);

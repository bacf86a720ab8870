/**
 * Types, lint, build and tests, in that order. The last line is `N passed, N failed, N skipped`.
 *
 * --homeserver embedded|synapse: where the journeys run; with synapse only the journeys run.
 * --long: only the long runs, whose size is MX_TEST_SCALE.
 * Other arguments go to vitest (a file name, `-t NAME`).
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, lint, root, step, types } from "./tasks.ts";

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string }[];
  }[];
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { homeserver: { type: "string" }, long: { type: "boolean" } },
});
const homeserver = String(values.homeserver ?? "embedded");
const only = values.long ? "long" : values.homeserver ? "journey" : undefined;

let failedSteps = 0;
if (!only) for (const run of [types, lint]) if (!(await run())) failedSteps++;
if (!(await build())) failedSteps++;

const report = join(root, ".cache", `report-${only ?? "all"}-${homeserver}.json`);
mkdirSync(join(root, ".cache"), { recursive: true });
// What is counted below is of this run, or there is nothing to count.
rmSync(report, { force: true });
const projects = only ? [only] : ["unit", "journey"];
const well = await step(
  `tests (${projects.join(", ")}; homeserver: ${homeserver})`,
  "vitest",
  [
    "run",
    "--config=scripts/vitest.config.ts",
    ...projects.map((name) => `--project=${name}`),
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    "--passWithNoTests",
    ...positionals,
  ],
  { MX_TEST_HOMESERVER: homeserver },
);

const result: Report = JSON.parse(readFileSync(report, "utf8"));
// A file that could not even be loaded has no assertions; it is a failure all the same.
const brokenFiles = result.testResults.filter(
  (f) => f.status === "failed" && f.assertionResults.length === 0,
);
const skipped = result.testResults.flatMap((f) =>
  f.assertionResults.filter((a) => a.status !== "passed" && a.status !== "failed").map((a) => a.fullName),
);
const allowed = new Set(
  readFileSync(join(root, "scripts", "allowed-skips.txt"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#")),
);
const surprising = process.env.CI ? skipped.filter((name) => !allowed.has(name)) : [];
for (const name of surprising)
  process.stderr.write(`skipped, and not in scripts/allowed-skips.txt: ${name}\n`);
for (const file of brokenFiles) process.stderr.write(`could not be loaded: ${file.name}\n${file.message}\n`);

const told = result.numFailedTests + brokenFiles.length;
// An error outside of any test (in a timer, say) fails vitest, but none of its tests.
const untold = well || told > 0 ? 0 : 1;
if (untold > 0) process.stderr.write("vitest failed, though none of its tests did: see above\n");
const failed = told + untold + failedSteps + surprising.length;
process.stdout.write(`${result.numPassedTests} passed, ${failed} failed, ${skipped.length} skipped\n`);
process.exit(failed === 0 ? 0 : 1);

import { relative } from "node:path";
import { root } from "./tasks.ts";

/** What vitest's JSON report says of a run, and of one that was done again. */
export interface FileResult {
  name: string;
  status: string;
  message: string;
  assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
}

/** The files of `first`, each of which `again` has a later result of in that result's place. */
export const merged = (first: readonly FileResult[], again: readonly FileResult[]): FileResult[] =>
  first.map((file) => again.find((other) => other.name === file.name) ?? file);

/** A file with a test, or a preparation of tests, that failed; or that could not be loaded. */
export const failedFiles = (files: readonly FileResult[]): FileResult[] =>
  files.filter((file) => file.status === "failed");

/** How many tests have a status. */
export const count = (files: readonly FileResult[], status: string): number =>
  files.flatMap((file) => file.assertionResults).filter((test) => test.status === status).length;

/** The names of the tests that neither passed nor failed. */
export const skipped = (files: readonly FileResult[]): string[] =>
  files
    .flatMap((file) => file.assertionResults)
    .filter((test) => test.status !== "passed" && test.status !== "failed")
    .map((test) => test.fullName);

/** What failed in a file, in words: each test with the beginning of its reasons. */
export function failuresOf(file: FileResult): string {
  const tests = file.assertionResults
    .filter((test) => test.status === "failed")
    .map((test) => `  ${test.fullName}\n${beginning(test.failureMessages.join("\n"))}`);
  return [relative(root, file.name), ...(tests.length > 0 ? tests : [beginning(file.message)])].join("\n");
}

const beginning = (text: string) =>
  text
    .split("\n")
    .slice(0, 8)
    .map((line) => `    ${line}`)
    .join("\n");

import { parse, TomlError } from "smol-toml";
import type { z } from "zod";
import { Positions } from "./positions.ts";
import { Report } from "./problems.ts";
import { type Document, document, tableAt } from "./schema.ts";
import { didYouMean } from "./suggest.ts";

export type Parsed = { ok: true; document: Document; report: Report } | { ok: false; report: Report };

/** The text as a document of the right shape, or what is wrong with it. Never throws. */
export function parseDocument(text: string, file: string): Parsed {
  let toml: unknown;
  try {
    toml = parse(text, { unsafeKeyBehaviour: "throw", integersAsBigInt: "asNeeded" });
  } catch (error) {
    return { ok: false, report: syntaxProblem(error, text, file) };
  }
  const report = new Report(file, new Positions(text));
  refuseForeignValues(toml, [], report);
  if (report.problems.length > 0) return { ok: false, report };
  const result = document.safeParse(toml);
  if (result.success) return { ok: true, document: result.data, report };
  for (const issue of result.error.issues) addIssue(issue, toml, report);
  return { ok: false, report };
}

function syntaxProblem(error: unknown, text: string, file: string): Report {
  const report = new Report(file, new Positions(""));
  if (error instanceof TomlError) {
    const message = (error.message.split("\n")[0] ?? "").replace("Invalid TOML document: ", "");
    const key = keyAround(text, error.line);
    report.problems.push({ file, line: error.line, key, message: `not TOML: ${message}` });
  } else {
    // A document nested deeper than the stack is the one known way to get here.
    const message = error instanceof Error ? error.message : String(error);
    report.problems.push({ file, line: 1, key: "", message: `not readable as TOML: ${message}` });
  }
  return report;
}

/** What a person would call the place: the table and the key that were written last, as far as that can be told. */
function keyAround(text: string, line: number): string {
  let [table, key] = ["", ""];
  for (const written of text.split("\n").slice(0, line)) {
    const header = /^\s*\[{1,2}\s*([\w"'][^=\]]*)/.exec(written)?.[1];
    const assigned = /^\s*([\w."'-]+)\s*=/.exec(written)?.[1];
    if (header !== undefined && !header.includes(",")) [table, key] = [header.trim(), ""];
    else if (assigned !== undefined) key = assigned;
  }
  return [table, key].filter(Boolean).join(".");
}

/** Values that TOML has and a policy never needs; the parser also lets impossible dates through. */
function refuseForeignValues(value: unknown, path: (string | number)[], report: Report): void {
  if (value instanceof Date) {
    report.add(path, "dates and times have no meaning in a policy; write text in quotes");
  } else if (typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value))) {
    report.add(path, "the number is too large to be kept exactly");
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) refuseForeignValues(item, [...path, index], report);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, item] of Object.entries(value)) refuseForeignValues(item, [...path, key], report);
  }
}

/** Keys of other versions of the first implementation, and what became of them. */
const gone = new Map([
  ["seccomp", "there is no seccomp mode here; bubblewrap gives no capabilities and no new privileges"],
  ["container_image", "containers are not a sandbox of this version; use bubblewrap"],
]);

function addIssue(issue: z.core.$ZodIssue, toml: unknown, report: Report): void {
  const path = issue.path.map((part) => (typeof part === "symbol" ? String(part) : part));
  if (issue.code === "unrecognized_keys") {
    const known = Object.keys(tableAt(issue.path)?.shape ?? {});
    for (const key of issue.keys) {
      report.add(
        [...path, key],
        `unknown key; ${gone.get(key) ?? `nothing here reads it${didYouMean(key, known)}`}`,
      );
    }
    return;
  }
  if (issue.code === "invalid_union") {
    // Of several shapes, the one that got furthest is the one that was meant.
    const branch = issue.errors.find((errors) => errors.some((inner) => inner.path.length > 0));
    if (branch) {
      for (const inner of branch) addIssue({ ...inner, path: [...issue.path, ...inner.path] }, toml, report);
      return;
    }
  }
  report.add(path, explain(issue, valueAt(toml, path)));
}

function explain(issue: z.core.$ZodIssue, value: unknown): string {
  if (value === undefined) return "is missing";
  switch (issue.code) {
    case "invalid_type":
      return `must be ${names[issue.expected] ?? issue.expected}, and is ${show(value)}`;
    case "invalid_value":
      return `must be ${issue.values.map((item) => JSON.stringify(item)).join(" or ")}, and is ${show(value)}${
        typeof value === "string" ? didYouMean(value, issue.values.map(String)) : ""
      }`;
    case "too_small":
      return issue.origin === "string"
        ? "must not be empty"
        : `must be greater than zero, and is ${show(value)}`;
    case "invalid_union":
      return `has a value of the wrong kind: ${show(value)}`;
    default:
      return issue.message;
  }
}

const names: Record<string, string> = {
  string: "text in quotes",
  array: "a list",
  record: "a table",
  object: "a table",
  boolean: "true or false",
  int: "a whole number",
  number: "a whole number",
};

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  let found = value;
  for (const part of path) {
    if (typeof found !== "object" || found === null) return undefined;
    found = Object.entries(found).find(([key]) => key === String(part))?.[1];
  }
  return found;
}

import { denyCodes, isDenyCode } from "./codes.ts";
import type { KeyPath } from "./positions.ts";
import type { Report } from "./problems.ts";
import type { TestTable } from "./schema.ts";
import { didYouMean } from "./suggest.ts";

/** A [[test]] block with its place; what cannot be asked or expected is reported. */
export function compileTest(table: TestTable, path: KeyPath, report: Report) {
  const { command, tool, args } = table.request;
  if ((command === undefined) === (tool === undefined)) {
    report.add([...path, "request"], "must have a command or a tool, and not both");
  }
  if (args !== undefined && tool === undefined)
    report.add([...path, "request", "args"], "args are for a tool");
  const code = table.expect.startsWith("deny:") ? table.expect.slice("deny:".length) : null;
  const known = code === null ? ["allow", "hold", "deny"].includes(table.expect) : isDenyCode(code);
  if (!known) {
    const hint =
      code === null
        ? didYouMean(table.expect, ["allow", "hold", "deny"])
        : didYouMean(code, Object.keys(denyCodes));
    report.add(
      [...path, "expect"],
      `must be allow, hold, deny or deny:CODE, and is ${JSON.stringify(table.expect)}${hint}`,
    );
  }
  return { table, place: report.place(path) };
}

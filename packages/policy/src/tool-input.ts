import { compilePattern } from "./patterns.ts";
import { tableOf } from "./tools.ts";

/** Whether a property may hold text that begins with `-`, as far as its schema tells. */
export function isVagueInput(schema: Record<string, unknown>, property: string): boolean {
  const declared = tableOf(tableOf(schema.properties)[property]);
  const values = declared.type === "array" ? tableOf(declared.items) : declared;
  if (Array.isArray(values.enum))
    return values.enum.some((value) => typeof value === "string" && value.startsWith("-"));
  if (values.type === "boolean") return false;
  if (values.type === "integer" || values.type === "number") return !(Number(values.minimum) >= 0);
  if (typeof values.pattern !== "string") return true;
  const pattern = compilePattern(values.pattern);
  return ["-", "-x", "--", "--x", "-xy", "--x-y", "--x=y", "-1"].some((option) => pattern.occursIn(option));
}

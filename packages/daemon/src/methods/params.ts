import { mxError } from "@mx-agent/base";
import { z } from "zod";

export const room = z.string().min(1).max(255);
export const agent = z.string().min(1).max(255);
export const userId = z
  .string()
  .regex(/^@[^:]+:.+$/, "a Matrix user id looks like @name:server")
  .max(255);
export const nothing = z.strictObject({});
export const target = z.strictObject({ room, agent });
export const time = z.iso.datetime();
export const duration_ms = z.int().nonnegative();
/** For what a timer waits for: Node's end at 2^31 - 1 ms, and what is longer would be over at once. */
export const timer_ms = duration_ms.max(2 ** 31 - 1, "at most 24 days");

/** A length as a person would say it; what else is wrong the schema library says. */
function inWords(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "too_small" && issue.minimum === 1 && issue.origin === "string") return "it is empty";
  if (issue.code === "too_big" && issue.origin === "string")
    return `it has more than ${issue.maximum} characters`;
  return undefined;
}

/** Parameters as the method expects them, or MX_USAGE with what is wrong. */
export function parser<T>(schema: z.ZodType<T>): (params: unknown) => T {
  return (params) => {
    const parsed = schema.safeParse(params, { error: inWords });
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const where = issue?.path.join(".") ?? "";
    const detail = `${where}${where ? ": " : ""}${issue?.message ?? "wrong parameters"}`;
    throw mxError("MX_USAGE", { detail }, { hint: "see the command's --help" });
  };
}

import { mxError } from "@mx-agent/base";

/** A whole number of at least `least`. MX_USAGE for anything else. */
export function parseCount(text: string, flag: string, least = 0): number {
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(count) && count >= least) return count;
  throw mxError("MX_USAGE", {
    detail: `${flag}: ${text} is no count${least > 0 ? ` of at least ${least}` : ""}`,
    command: "",
  });
}

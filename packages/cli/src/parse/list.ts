/** An option that may be given several times, each with one or more values between commas. */
export function commaList(value: string, before: string[] = []): string[] {
  return [...before, ...value.split(",").filter((item) => item !== "")];
}

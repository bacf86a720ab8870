/** `1 member`, `2 members`; the number is what a reader looks for, so it is never a word. */
export function counted(count: number | string, one: string): string {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}

import { shellWord } from "@mx-agent/base";

/** A command as a person would type it in a shell. */
export function shellWords(words: readonly string[]): string {
  return words.map(shellWord).join(" ");
}

/** Colours, for a person at a terminal alone. */
import type { Cli, Terminal } from "../cli.ts";

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Colour = keyof typeof codes;
export type Paint = (colour: Colour, text: string) => string;

/** NO_COLOR (https://no-color.org) and TERM=dumb are honoured. */
export function painter(stream: Terminal, env: Cli["env"]): Paint {
  const wanted = stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
  return wanted ? (colour, text) => `\u001b[${codes[colour]}m${text}\u001b[0m` : (_, text) => text;
}

/** Control characters, line and paragraph separators, and what changes the direction of writing. */
const OBEYED = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/**
 * Text from another machine, for a terminal: control characters, which could move the cursor or
 * rewrite what a person reads, are shown and not obeyed.
 */
export function visible(text: string): string {
  return text.replace(OBEYED, escaped);
}

function escaped(character: string): string {
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

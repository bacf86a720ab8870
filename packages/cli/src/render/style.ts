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

/**
 * Text from another machine, for a terminal: control characters, which could move the cursor or
 * rewrite what a person reads, are shown and not obeyed.
 */
export function visible(text: string): string {
  let shown = "";
  for (const character of text) shown += obeyed(character) ? escaped(character) : character;
  return shown;
}

/** C0, C1, and what changes the direction of writing. */
function obeyed(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return (
    code < 0x20 ||
    (code >= 0x7f && code < 0xa0) ||
    code === 0x200e ||
    code === 0x200f ||
    (code >= 0x202a && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069)
  );
}

function escaped(character: string): string {
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

import { RE2JS } from "re2js";

/** A pattern that is matched in time linear in its input (RE2), whatever it says. */
export interface Pattern {
  source: string;
  /** The whole text. */
  matches(text: string): boolean;
  /** Anywhere in the text. */
  occursIn(text: string): boolean;
}

/** @throws Error with the reason when it is no RE2 pattern: RE2 has no look-around and no back-references. */
export function compilePattern(source: string): Pattern {
  // DOTALL: an argument with a line break in it must not slip past `.*`.
  const compiled = RE2JS.compile(source, RE2JS.DOTALL);
  return {
    source,
    matches: (text) => compiled.matches(text),
    occursIn: (text) => compiled.test(text),
  };
}

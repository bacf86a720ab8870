/**
 * Whether `text` as a whole matches a glob of push rules: `*` for any characters, `?` for one; case is
 * ignored. Takes time in proportion to both lengths, whatever the pattern.
 */
export function globMatches(pattern: string, text: string): boolean {
  return run(pattern.toLowerCase(), text.toLowerCase(), false);
}

/** Whether the glob matches somewhere in `text`, from one word boundary to another. */
export function globMatchesWords(pattern: string, text: string): boolean {
  return run(pattern.toLowerCase(), text.toLowerCase(), true);
}

/** Steps through the text with the set of places in the pattern that are reached. */
function run(pattern: string, text: string, words: boolean): boolean {
  const end = pattern.length;
  let reached = new Set<number>();
  const add = (into: Set<number>, place: number) => {
    into.add(place);
    for (let next = place; pattern[next] === "*"; next++) into.add(next + 1);
  };
  for (let index = 0; ; index++) {
    const character = text[index];
    if (index === 0 || (words && !isWord(text[index - 1]))) add(reached, 0);
    if (reached.has(end) && (words ? !isWord(character) : character === undefined)) return true;
    if (character === undefined) return false;
    const next = new Set<number>();
    for (const place of reached) {
      if (pattern[place] === "*") add(next, place);
      else if (place < end && (pattern[place] === "?" || pattern[place] === character)) add(next, place + 1);
    }
    reached = next;
  }
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}_]/u.test(character);
}

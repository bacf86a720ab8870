/**
 * Whether `text` as a whole matches a glob of push rules: `*` for any characters, `?` for one; case is
 * ignored. Takes time in proportion to the text, and to a 32nd of the pattern, whatever they are.
 */
export function globMatches(pattern: string, text: string): boolean {
  return run(placesOf(pattern.toLowerCase(), true), text.toLowerCase(), false);
}

/** Whether the glob matches somewhere in `text`, from one word boundary to another. */
export function globMatchesWords(pattern: string, text: string): boolean {
  return run(placesOf(pattern.toLowerCase(), true), text.toLowerCase(), true);
}

/** Whether `words` stand in `text` as they are, from one word boundary to another; case is ignored. */
export function containsWords(words: string, text: string): boolean {
  return run(placesOf(words.toLowerCase(), false), text.toLowerCase(), true);
}

/** A set of places in a pattern, a bit for each. Place n is before the nth character; the last is the end. */
type Places = Uint32Array;

interface Pattern {
  /** How many characters it has, without stars. */
  readonly length: number;
  /** The places that a star keeps reached. */
  readonly stars: Places;
  /** The places whose character this is. */
  fitting(character: string): Places;
}

function placesOf(pattern: string, glob: boolean): Pattern {
  const characters: string[] = [];
  const starred: number[] = [];
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern.charAt(i);
    if (glob && character === "*") starred.push(characters.length);
    else characters.push(character);
  }
  const none = () => new Uint32Array((characters.length >> 5) + 1);
  const set = (places: Places, place: number) => {
    places[place >> 5] = (places[place >> 5] ?? 0) | (1 << (place & 31));
  };
  const stars = none();
  for (const place of starred) set(stars, place);
  const any = none();
  if (glob) for (const [place, character] of characters.entries()) if (character === "?") set(any, place);
  const known = new Map<string, Places>();
  for (const [place, character] of characters.entries()) {
    const places = known.get(character) ?? any.slice();
    set(places, place);
    known.set(character, places);
  }
  return { length: characters.length, stars, fitting: (character) => known.get(character) ?? any };
}

/** Steps through the text with the set of places in the pattern that are reached. */
function run(pattern: Pattern, text: string, words: boolean): boolean {
  const { length, stars } = pattern;
  const reached = new Uint32Array(stars.length);
  let inWord = false;
  for (let index = 0; ; index++) {
    const character = index < text.length ? text.charAt(index) : undefined;
    const nextInWord = words && isWord(character);
    if (index === 0 || (words && !inWord)) reached[0] = (reached[0] ?? 0) | 1;
    const atEnd = ((reached[length >> 5] ?? 0) & (1 << (length & 31))) !== 0;
    if (atEnd && (words ? !nextInWord : character === undefined)) return true;
    if (character === undefined) return false;
    const fits = pattern.fitting(character);
    for (let i = reached.length - 1; i >= 0; i--) {
      const here = reached[i] ?? 0;
      const carried = i === 0 ? 0 : ((reached[i - 1] ?? 0) & (fits[i - 1] ?? 0)) >>> 31;
      reached[i] = (here & (stars[i] ?? 0)) | ((here & (fits[i] ?? 0)) << 1) | carried;
    }
    inWord = nextInWord;
  }
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}_]/u.test(character);
}

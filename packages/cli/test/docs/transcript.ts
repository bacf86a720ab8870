/** What a page shows, against what really came: equal but for what differs each time. */

/** What differs each time, and is the same thing wherever it is named again: later commands name it. */
const NAMES = [
  /!\w{12,}(?::[\w.-]+)?/,
  /SHA256:[\w+/]{43}/,
  /\bmxagent:1\.\d+\.[\w-]+/,
  /\b(?:req|inv)_[0-9A-Z]{26}\b/,
  /\b127\.0\.0\.1:\d+/,
  /\/tmp\/mx-agent-demo-\w+/,
  /\/[\w./-]+\/bin\/node\b/,
];
/** What differs each time, and is never named again. */
const PASSING = [
  /\bpid \d+/,
  /\bprocess \d+/,
  /\d{4}-\d\d-\d\dT[\d:.]+Z/,
  /\b[A-Z]{10}\b/,
  /\$[\w-]{43}/,
  /\b[\w+/]{43}=?/,
  /\bmxagent-ed25519:[\w+/]{43}/,
  /\b(?:duration_ms=?) ?[\d.]+/,
  /\+?\d+(?:\.\d+)? ?(?:ms|s)\b/,
];
const VOLATILE = new RegExp([...NAMES, ...PASSING].map(({ source }) => source).join("|"), "g");
const NAME = new RegExp(`^(?:${NAMES.map(({ source }) => source).join("|")})$`);

/** A line that stands for any number of lines. */
export const LEFT_OUT = "…";

/** From what the page says to what it is in this run. */
export type Names = Map<string, string>;

/** The text with the names of this run, the longest first, so that no name is replaced inside of another. */
export function inThisRun(text: string, names: Names): string {
  return [...names]
    .sort(([a], [b]) => b.length - a.length)
    .reduce((changed, [shown, real]) => changed.replaceAll(shown, real), text);
}

/**
 * Compares what is shown with what came, line by line, white space apart; `…` alone in a line stands for any lines.
 * Notes what the names in it are in this run. Answers what is wrong, or null.
 */
export function compare(shown: readonly string[], came: readonly string[], names: Names): string | null {
  const real = came.filter((line) => line.trim() !== "");
  let at = 0;
  let gap = false;
  for (const line of shown.filter((one) => one.trim() !== "")) {
    if (line.trim() === LEFT_OUT) {
      gap = true;
      continue;
    }
    const found = real.findIndex(
      (one, index) => index >= at && (gap || index === at) && same(line, one, names),
    );
    if (found === -1)
      return `the page shows\n  ${line}\nand this came${gap ? ", from here on" : ""}:\n  ${real.slice(at, at + 5).join("\n  ")}`;
    learn(line, real[found] ?? "", names);
    at = found + 1;
    gap = false;
  }
  return gap || at === real.length ? null : `the page does not show\n  ${real.slice(at).join("\n  ")}`;
}

function same(shown: string, came: string, names: Names): boolean {
  if (plain(shown) !== plain(came)) return false;
  const real = volatile(came);
  return volatile(shown).every(
    (name, index) => !NAME.test(name) || (names.get(name) ?? real[index]) === real[index],
  );
}

function learn(shown: string, came: string, names: Names): void {
  const real = volatile(came);
  for (const [index, name] of volatile(shown).entries())
    if (NAME.test(name)) names.set(name, real[index] ?? name);
}

const volatile = (line: string) => line.match(VOLATILE) ?? [];
const plain = (line: string) => line.replace(VOLATILE, "~").replace(/\s+/g, " ").trim();

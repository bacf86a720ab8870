/** Objects and arrays inside of each other; an answer of the Client-Server API has a dozen, an event few more. */
const MAX_NESTING = 128;

/**
 * A JSON text without what is nested more deeply than anything meant: it is null there. JSON.stringify and
 * structuredClone, ours and the SDK's, end in an exception at a few thousand levels, which one event may have; an
 * answer that always throws would stop the session for ever. Signed content that is cut no longer verifies.
 */
export function shallow(text: string): string {
  if (!isNestedBeyond(text, MAX_NESTING)) return text;
  try {
    const value: unknown = JSON.parse(text);
    cut(value, MAX_NESTING);
    return JSON.stringify(value);
  } catch {
    return text;
  }
}

/** The same for what came out of encryption, where no text could be looked at; cut in place. */
export function cutNesting<T>(value: T): T {
  cut(value, MAX_NESTING);
  return value;
}

/** Looks at brackets alone, and jumps over strings: those are nearly all of a long answer. */
function isNestedBeyond(text: string, limit: number): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') at = endOfString(text, at);
    else if (char === "[" || char === "{") {
      if (++depth > limit) return true;
    } else if (char === "]" || char === "}") depth--;
  }
  return false;
}

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text[end - 1 - escapes] === "\\") escapes++;
    if (escapes % 2 === 0) return end;
  }
  return text.length;
}

/** Cuts in place, level by level: a walk that called itself would fail where this is needed. */
function cut(value: unknown, levels: number): void {
  let level: object[] = typeof value === "object" && value !== null ? [value] : [];
  for (let depth = 1; level.length > 0; depth++) {
    const next: object[] = [];
    for (const parent of level) {
      for (const [key, child] of Object.entries(parent)) {
        if (typeof child !== "object" || child === null) continue;
        if (depth < levels) next.push(child);
        else Reflect.set(parent, key, null);
      }
    }
    level = next;
  }
}

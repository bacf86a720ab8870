/** A line that loses, doubles and delays what it carries, as a test says, and is reliable once that has run out. */
import fc from "fast-check";

export type Fate = "arrives" | "is lost" | "comes twice" | "comes late";

export const fates: fc.Arbitrary<Fate[]> = fc.array(
  fc.constantFrom<Fate>("arrives", "is lost", "is lost", "comes twice", "comes late"),
  { maxLength: 60 },
);

/** Hands each message on after a while, by fake timers; both directions may share one line's fates. */
export function lossyLine(plan: readonly Fate[]): (deliver: () => void) => void {
  let at = 0;
  return (deliver) => {
    const fate = plan[at++] ?? "arrives";
    if (fate === "is lost") return;
    setTimeout(deliver, fate === "comes late" ? 1_700 : 5);
    if (fate === "comes twice") setTimeout(deliver, 40);
  };
}

/** Bytes of which no two neighbourhoods are alike. */
export function bytesOf(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16)) & 0xff;
  return bytes;
}

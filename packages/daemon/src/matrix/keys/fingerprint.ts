/** A device's or identity's Ed25519 key as people compare it: unpadded base64 in groups of four, as in other clients. */
export function inFours(key: string): string {
  return key.match(/.{1,4}/g)?.join(" ") ?? "";
}

/** Whether two people's spellings mean the same key. */
export function sameKey(one: string, other: string): boolean {
  return bare(one) === bare(other);
}

const bare = (key: string) => key.replace(/\s|=/g, "");

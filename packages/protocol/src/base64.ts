/** Standard base64 with padding: what binary data in our JSON is, unless a field says otherwise. */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/**
 * The bytes of standard base64 with padding, or undefined: white space, the URL alphabet, missing
 * padding and left-over bits are refused, so that every byte string has one spelling alone.
 */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

/** Without padding, as public keys, key ids and fingerprints are written. */
export function encodeBase64Unpadded(bytes: Uint8Array): string {
  return encodeBase64(bytes).replace(/=+$/, "");
}

/** As `decodeBase64`, for text without padding. */
export function decodeBase64Unpadded(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return encodeBase64Unpadded(bytes) === text ? bytes : undefined;
}

import { Deserializer, Serializer } from "node:v8";

/**
 * Values as V8's structured clone format (HTML, "StructuredSerializeForStorage"), which later versions of V8
 * read. The plain Serializer is used, not `v8.serialize`: that one keeps a Buffer a Buffer, where IndexedDB
 * and structuredClone make a Uint8Array of it.
 */
export function encodeValue(value: unknown): Uint8Array {
  const serializer = new Serializer();
  serializer.writeHeader();
  try {
    serializer.writeValue(value);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new DOMException(detail, "DataCloneError");
  }
  return serializer.releaseBuffer();
}

/** Throws when the bytes are not a value, or are in a later V8's format than this one's. */
export function decodeValue(bytes: Uint8Array): unknown {
  const deserializer = new Deserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

/** The version of the format that this V8 writes: the byte after the marker 0xff. */
export const valueFormat: number = encodeValue(null)[1] ?? 0;

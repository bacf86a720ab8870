import type { IDBKeyRange, IDBValidKey } from "./idb.ts";

/**
 * IndexedDB keys as bytes whose order (memcmp, SQLite's for BLOBs) is the order of the keys (IndexedDB 3.0,
 * section 2.4 and "compare two keys"): number < Date < string < binary < array. Two keys are equal exactly
 * when their bytes are, so -0 is written as 0.
 */
const tag = { end: 0x00, number: 0x10, date: 0x20, string: 0x30, binary: 0x40, array: 0x50 } as const;

/** Code units below this take one byte, the next 0x4000 take two, the rest three. */
const TWO_BYTES_FROM = 0x7f;
const THREE_BYTES_FROM = TWO_BYTES_FROM + 0x4000;

export function encodeKey(key: IDBValidKey): Uint8Array {
  const out: number[] = [];
  append(out, key);
  return Uint8Array.from(out);
}

function append(out: number[], key: IDBValidKey): void {
  if (typeof key === "number") {
    out.push(tag.number);
    appendNumber(out, key);
  } else if (typeof key === "string") {
    out.push(tag.string);
    for (let i = 0; i < key.length; i++) appendCodeUnit(out, key.charCodeAt(i));
    out.push(tag.end);
  } else if (key instanceof Date) {
    out.push(tag.date);
    appendNumber(out, key.getTime());
  } else if (Array.isArray(key)) {
    out.push(tag.array);
    for (const item of key) append(out, item);
    out.push(tag.end);
  } else {
    const bytes = ArrayBuffer.isView(key)
      ? new Uint8Array(key.buffer, key.byteOffset, key.byteLength)
      : new Uint8Array(key);
    out.push(tag.binary);
    // 00 ff is the byte 0, 00 00 the end: the end sorts before whatever could follow.
    for (const byte of bytes) byte === 0 ? out.push(0x00, 0xff) : out.push(byte);
    out.push(0x00, 0x00);
  }
}

/** IEEE 754, big endian; the sign bit flipped for positive numbers and all bits for negative ones. */
function appendNumber(out: number[], value: number): void {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value === 0 ? 0 : value);
  const flip = view.getUint8(0) >= 0x80 ? 0xff : 0x00;
  for (let i = 0; i < 8; i++) out.push(view.getUint8(i) ^ (i === 0 && flip === 0 ? 0x80 : flip));
}

function appendCodeUnit(out: number[], unit: number): void {
  if (unit < TWO_BYTES_FROM) out.push(unit + 1);
  else if (unit < THREE_BYTES_FROM)
    out.push(0x80 | ((unit - TWO_BYTES_FROM) >> 8), (unit - TWO_BYTES_FROM) & 0xff);
  else out.push(0xc0, unit >> 8, unit & 0xff);
}

/** The key of these bytes; throws RangeError when they are not the encoding of one. */
export function decodeKey(bytes: Uint8Array): IDBValidKey {
  const reader = new Reader(bytes);
  const key = reader.key(reader.byte());
  if (!reader.done) throw new RangeError("a key with bytes after its end");
  return key;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new RangeError("a key that is cut off");
    return byte;
  }

  key(kind: number): IDBValidKey {
    switch (kind) {
      case tag.number:
        return this.#number();
      case tag.date:
        return new Date(this.#number());
      case tag.string:
        return this.#string();
      case tag.binary:
        return this.#binary();
      case tag.array: {
        const items: IDBValidKey[] = [];
        for (let next = this.byte(); next !== tag.end; next = this.byte()) items.push(this.key(next));
        return items;
      }
      default:
        throw new RangeError(`a key of the unknown kind ${kind}`);
    }
  }

  #number(): number {
    const view = new DataView(new ArrayBuffer(8));
    for (let i = 0; i < 8; i++) view.setUint8(i, this.byte());
    const positive = view.getUint8(0) >= 0x80;
    for (let i = 0; i < 8; i++)
      view.setUint8(i, view.getUint8(i) ^ (positive ? (i === 0 ? 0x80 : 0x00) : 0xff));
    return view.getFloat64(0);
  }

  #string(): string {
    const units: number[] = [];
    for (let first = this.byte(); first !== tag.end; first = this.byte()) {
      if (first < 0x80) units.push(first - 1);
      else if (first < 0xc0) units.push((((first & 0x3f) << 8) | this.byte()) + TWO_BYTES_FROM);
      else units.push((this.byte() << 8) | this.byte());
    }
    let text = "";
    for (let i = 0; i < units.length; i += 8192) text += String.fromCharCode(...units.slice(i, i + 8192));
    return text;
  }

  #binary(): ArrayBuffer {
    const bytes: number[] = [];
    for (;;) {
      const byte = this.byte();
      if (byte === 0x00 && this.byte() === 0x00) return Uint8Array.from(bytes).buffer;
      bytes.push(byte);
    }
  }
}

/** A range of keys as bounds on their bytes; null is unbounded. */
export interface ByteRange {
  lower: Uint8Array | null;
  upper: Uint8Array | null;
  lowerOpen: boolean;
  upperOpen: boolean;
}

export function encodeRange(range: IDBKeyRange): ByteRange {
  return {
    lower: range.lower === undefined ? null : encodeKey(range.lower),
    upper: range.upper === undefined ? null : encodeKey(range.upper),
    lowerOpen: range.lowerOpen,
    upperOpen: range.upperOpen,
  };
}

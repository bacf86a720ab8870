/**
 * The part of IndexedDB 3.0 that the store touches, as types: the project compiles without the DOM library,
 * and fake-indexeddb's own declarations are written in its terms.
 */
import * as fake from "fake-indexeddb";

export type IDBValidKey = number | string | Date | ArrayBuffer | ArrayBufferView | IDBValidKey[];
export type KeyPath = string | string[];
export type TransactionMode = "readonly" | "readwrite" | "versionchange";
export type CursorDirection = "next" | "nextunique" | "prev" | "prevunique";

export interface IDBEvent {
  stopImmediatePropagation(): void;
  stopPropagation(): void;
  preventDefault(): void;
}

export interface IDBTarget {
  addEventListener(type: string, listener: (event: IDBEvent) => void): void;
}

export interface IDBRequest<T = unknown> extends IDBTarget {
  result: T;
  error: DOMException | null;
}

export interface IDBOpenDBRequest extends IDBRequest<IDBDatabase> {
  transaction: IDBTransaction | null;
}

export interface NameList extends Iterable<string> {
  contains(name: string): boolean;
}

export interface IDBFactory {
  open(name: string, version?: number): IDBOpenDBRequest;
  deleteDatabase(name: string): IDBRequest<undefined>;
  databases(): Promise<{ name: string; version: number }[]>;
  cmp(first: unknown, second: unknown): -1 | 0 | 1;
}

export interface IDBDatabase extends IDBTarget {
  readonly name: string;
  readonly version: number;
  readonly objectStoreNames: NameList;
  transaction(stores: string | string[], mode?: TransactionMode, options?: object): IDBTransaction;
  createObjectStore(
    name: string,
    options?: { keyPath?: KeyPath | null; autoIncrement?: boolean },
  ): IDBObjectStore;
  deleteObjectStore(name: string): void;
  close(): void;
}

export interface IDBTransaction extends IDBTarget {
  readonly mode: TransactionMode;
  readonly db: IDBDatabase;
  readonly error: DOMException | null;
  objectStore(name: string): IDBObjectStore;
  abort(): void;
  commit(): void;
}

export interface IDBKeyRange {
  readonly lower: IDBValidKey | undefined;
  readonly upper: IDBValidKey | undefined;
  readonly lowerOpen: boolean;
  readonly upperOpen: boolean;
}

type Query = IDBValidKey | IDBKeyRange | null;

export interface IDBObjectStore {
  name: string;
  readonly keyPath: KeyPath | null;
  readonly autoIncrement: boolean;
  readonly indexNames: NameList;
  put(...args: [value?: unknown, key?: IDBValidKey]): IDBRequest<IDBValidKey>;
  add(...args: [value?: unknown, key?: IDBValidKey]): IDBRequest<IDBValidKey>;
  delete(...args: [query?: IDBValidKey | IDBKeyRange]): IDBRequest<undefined>;
  clear(): IDBRequest<undefined>;
  get(query: IDBValidKey | IDBKeyRange): IDBRequest;
  getAll(query?: Query, count?: number): IDBRequest<unknown[]>;
  getAllKeys(query?: Query, count?: number): IDBRequest<IDBValidKey[]>;
  count(query?: Query): IDBRequest<number>;
  openCursor(query?: Query, direction?: CursorDirection): IDBRequest<IDBCursorWithValue | null>;
  createIndex(name: string, keyPath: KeyPath, options?: { unique?: boolean; multiEntry?: boolean }): IDBIndex;
  deleteIndex(name: string): void;
  index(name: string): IDBIndex;
}

export interface IDBIndex {
  name: string;
  readonly objectStore: IDBObjectStore;
  readonly keyPath: KeyPath;
  readonly unique: boolean;
  readonly multiEntry: boolean;
  get(query: IDBValidKey | IDBKeyRange): IDBRequest;
  getAll(query?: Query, count?: number): IDBRequest<unknown[]>;
  getAllKeys(query?: Query, count?: number): IDBRequest<IDBValidKey[]>;
  count(query?: Query): IDBRequest<number>;
  openCursor(query?: Query, direction?: CursorDirection): IDBRequest<IDBCursorWithValue | null>;
}

export interface IDBCursorWithValue {
  readonly key: IDBValidKey;
  readonly primaryKey: IDBValidKey;
  readonly value: unknown;
  readonly direction: CursorDirection;
  update(...args: [value?: unknown]): IDBRequest<IDBValidKey>;
  delete(): IDBRequest<undefined>;
  continue(key?: IDBValidKey): void;
  advance(count: number): void;
}

export interface IDBKeyRangeConstructor {
  new (): IDBKeyRange;
  only(value: unknown): IDBKeyRange;
  lowerBound(lower: unknown, open?: boolean): IDBKeyRange;
  upperBound(upper: unknown, open?: boolean): IDBKeyRange;
  bound(lower: unknown, upper: unknown, lowerOpen?: boolean, upperOpen?: boolean): IDBKeyRange;
}

/** An empty IndexedDB in memory: fake-indexeddb as it comes. */
export function memoryIndexedDB(): IDBFactory {
  return new fake.IDBFactory();
}

export const IDBKeyRange: IDBKeyRangeConstructor = fake.IDBKeyRange;

/** What a program in a browser finds on globalThis beside `indexedDB`; the wasm asks `instanceof` of these. */
export const idbConstructors = {
  IDBCursor: fake.IDBCursor,
  IDBCursorWithValue: fake.IDBCursorWithValue,
  IDBDatabase: fake.IDBDatabase,
  IDBFactory: fake.IDBFactory,
  IDBIndex: fake.IDBIndex,
  IDBKeyRange: fake.IDBKeyRange,
  IDBObjectStore: fake.IDBObjectStore,
  IDBOpenDBRequest: fake.IDBOpenDBRequest,
  IDBRequest: fake.IDBRequest,
  IDBTransaction: fake.IDBTransaction,
  IDBVersionChangeEvent: fake.IDBVersionChangeEvent,
} as const satisfies Record<string, unknown>;

/** What both sides of a socket say to each other beside the methods of the table. */
import { mxError } from "@mx-agent/base";
import { IPC_VERSION, type Role } from "./methods.ts";

export type IpcVersion = { readonly major: number; readonly minor: number };

/** The first request on every connection. Until it is answered nothing else is. */
export const HELLO = "hello";

export interface Welcome {
  version: IpcVersion;
  mx_agent: string;
  pid: number;
  role: Role;
}

/** Notifications that belong to a call in progress, in either direction; `id` is the call's. */
export const ITEM = "stream.item";
/** `bytes`: of the bodies of all item frames of this call that the reader has taken so far. */
export const ACK = "stream.ack";
/** From the client alone. */
export const END = "stream.end";
export const CANCEL = "cancel";

export type CallId = string | number;

/** Bytes of items that may be under way in one direction of one call. */
export const WINDOW_BYTES = 256 * 1024;

export const isCallId = (value: unknown): value is CallId =>
  typeof value === "string" || typeof value === "number";

/** The fields of an object that arrived, each still unknown; of anything else none. */
export function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

export function readVersion(value: unknown): IpcVersion | undefined {
  const { major, minor } = fieldsOf(value);
  return typeof major === "number" && typeof minor === "number" ? { major, minor } : undefined;
}

/** Both sides work together when they are at most one minor version apart. */
export function isCompatible(theirs: IpcVersion): boolean {
  return theirs.major === IPC_VERSION.major && Math.abs(theirs.minor - IPC_VERSION.minor) <= 1;
}

/** MX_VERSION_SKEW as the client is told it, whichever side finds it. */
export function versionSkew(
  client: { version: IpcVersion; mx_agent: string },
  daemon: { version: IpcVersion; mx_agent: string },
) {
  const order = client.version.major - daemon.version.major || client.version.minor - daemon.version.minor;
  return mxError("MX_VERSION_SKEW", {
    ours: `this mx-agent (${client.mx_agent})`,
    our_version: `${client.version.major}.${client.version.minor}`,
    theirs: `the daemon (${daemon.mx_agent})`,
    their_version: `${daemon.version.major}.${daemon.version.minor}`,
    restart: order > 0 ? "`mx-agent daemon restart`" : "the program that called, with the newer mx-agent",
  });
}

/**
 * Messages between the runner and its client: base frames, each one line of JSON, and after its line
 * feed the raw bytes of a stream where there are some (JSON never contains a bare line feed).
 */
import { type ErrorJson, encodeFrame } from "@mx-agent/base";
import type { RunEnd, RunSpec, RunState, RunStream } from "./api.ts";

const LINE_FEED = 0x0a;

export interface RunnerVersion {
  major: number;
  minor: number;
}

/** What each method takes and gives. Bytes travel beside it, as the payload. */
export interface Methods {
  /** Comes first. The runner answers whatever the version, so that the client can say what to restart. */
  hello: { params: { version: RunnerVersion }; result: { version: RunnerVersion; pid: number } };
  start: { params: { spec: RunSpec }; result: { state: RunState } };
  stdin: {
    params: { run_id: string; offset: number; eof: boolean };
    result: { stdin_bytes: number };
  };
  read: {
    params: { run_id: string; stream: RunStream; offset: number; max_bytes: number };
    result: Record<string, never>;
  };
  cancel: { params: { run_id: string; grace_ms: number | null }; result: Record<string, never> };
  list: { params: Record<string, never>; result: { runs: RunState[] } };
  forget: { params: { run_id: string }; result: Record<string, never> };
  shutdown: { params: Record<string, never>; result: Record<string, never> };
}

export type MethodName = keyof Methods;

export type Request = {
  [M in MethodName]: { id: number; method: M; params: Methods[M]["params"] };
}[MethodName];

export type Response = { id: number; result: unknown } | { id: number; error: ErrorJson };

export type EventMessage =
  | { event: "output"; run_id: string; stream: RunStream; bytes: number }
  | { event: "ended"; run_id: string; end: RunEnd };

export function encodeMessage(
  message: Request | Response | EventMessage,
  payload: Uint8Array = new Uint8Array(0),
): Buffer {
  const line = Buffer.from(`${JSON.stringify(message)}\n`, "utf8");
  return encodeFrame(payload.length === 0 ? line : Buffer.concat([line, payload]));
}

/** Splits a frame's body. Throws SyntaxError where the line is not JSON. */
export function decodeMessage(body: Buffer): { message: unknown; payload: Buffer } {
  const end = body.indexOf(LINE_FEED);
  const line = end === -1 ? body : body.subarray(0, end);
  const payload = end === -1 ? body.subarray(body.length) : body.subarray(end + 1);
  return { message: JSON.parse(line.toString("utf8")), payload };
}

/** Whether two versions work together: one minor version apart, never another major. */
export function compatible(a: RunnerVersion, b: RunnerVersion): boolean {
  return a.major === b.major && Math.abs(a.minor - b.minor) <= 1;
}

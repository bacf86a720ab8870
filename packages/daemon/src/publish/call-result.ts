/** What a tool did, as a response carries it. */
import { canonicalBytes, MAX_CONTENT_BYTES } from "@mx-agent/protocol";
import type { RunEnd } from "@mx-agent/runner";

/** The beginning of what a tool wrote: as many bytes of each stream as can be of use. */
export interface CallOutput {
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/** Of canonical JSON, for the result alone: the rest of the content, signature and binding, has what is left. */
const RESULT_BYTES = MAX_CONTENT_BYTES - 6 * 1024;
/** Of that, what stderr may take from stdout. */
const STDERR_BYTES = 8 * 1024;
/** All but the two texts and their value. */
const FRAME_BYTES = 512;

/**
 * The result of a call. A receiver reads no content above the protocol's limit, and text grows where JSON writes it:
 * what does not fit is cut, and `truncated` says so. Output that is one JSON value comes as that value as well, where
 * both fit.
 */
export function callResult(end: RunEnd, output: CallOutput | null): object {
  const written = {
    stdout: textOf(output?.stdout, end.stdout_bytes),
    stderr: textOf(output?.stderr, end.stderr_bytes),
  };
  const room = RESULT_BYTES - FRAME_BYTES;
  const stderr = fitting(written.stderr, Math.max(STDERR_BYTES, room - jsonSize(written.stdout)));
  const stdout = fitting(written.stdout, room - jsonSize(stderr));
  const whole =
    stdout === written.stdout &&
    stderr === written.stderr &&
    end.stdout_bytes === (output?.stdout.length ?? 0) &&
    end.stderr_bytes === (output?.stderr.length ?? 0);
  return {
    exit_code: end.exit_code,
    signal: end.signal,
    outcome: end.outcome,
    stdout,
    stderr,
    truncated: end.truncated || !whole,
    duration_ms: end.duration_ms,
    ...(whole ? jsonOf(stdout, room - jsonSize(stdout) - jsonSize(stderr)) : {}),
  };
}

/** Why a tool did not do what it was asked for: a sentence. */
export function describeFailure(end: RunEnd): string {
  if (end.outcome === "exited") return `the tool exited with status ${end.exit_code ?? "unknown"}`;
  return `the tool ended: ${end.outcome}${end.signal ? ` (${end.signal})` : ""}`;
}

/** Where there was more, a character that was cut off with it is left out. */
function textOf(bytes: Uint8Array = new Uint8Array(), written: number): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes, { stream: written > bytes.length });
}

/** As much of the beginning as JSON writes in so many bytes. */
function fitting(text: string, bytes: number): string {
  let [low, high] = [0, text.length];
  if (jsonSize(text) <= bytes) low = high;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (jsonSize(text.slice(0, middle)) <= bytes) low = middle;
    else high = middle - 1;
  }
  const cut = text.slice(0, low);
  return cut.isWellFormed() ? cut : cut.slice(0, -1);
}

const jsonSize = (text: string) => Buffer.byteLength(JSON.stringify(text));

/** What a tool printed as one JSON value, where canonical JSON can carry it in so many bytes. */
function jsonOf(stdout: string, bytes: number): { json?: unknown } {
  try {
    const json: unknown = JSON.parse(stdout);
    return canonicalBytes(json).length <= bytes ? { json } : {};
  } catch {
    return {};
  }
}

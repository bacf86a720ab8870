import { MxError, mxError } from "@mx-agent/base";
import { describe, isRecord } from "./types.ts";

export interface Refusal {
  status: number;
  errcode: string;
  detail: string;
}

/** Answers that say "later", not "no": who gets one of them asks again. */
const TRANSIENT = new Set([401, 408, 425, 429]);

/**
 * Whether the homeserver itself said no, for good: an error object of the Client-Server API with a 4xx status.
 * What a proxy in between says (no `errcode`) is no refusal.
 */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!isRecord(error)) return undefined;
  const { httpStatus: status, errcode, data } = error;
  if (typeof status !== "number" || typeof errcode !== "string") return undefined;
  if (status < 400 || status >= 500 || TRANSIENT.has(status)) return undefined;
  const detail = isRecord(data) && typeof data.error === "string" ? data.error : describe(error);
  return { status, errcode, detail };
}

/** What a request of ours threw, as an error of the catalogue. */
export function toHomeserverError(error: unknown, url: string): MxError {
  if (error instanceof MxError) return error;
  const known = isRecord(error) && typeof error.errcode === "string" ? error : undefined;
  if (known === undefined) {
    return mxError("MX_HOMESERVER_UNREACHABLE", { url, detail: describe(error) }, { cause: error });
  }
  const data = isRecord(known.data) ? known.data : {};
  const detail = typeof data.error === "string" ? data.error : describe(error);
  return mxError("MX_HOMESERVER_ERROR", { errcode: String(known.errcode), detail }, { cause: error });
}

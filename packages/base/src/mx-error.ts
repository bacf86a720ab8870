/** An error of the catalogue, on its way to a person or over a socket. */
import { type ErrorCode, errorCatalogue } from "./errors.ts";
import { shellWord } from "./shell-word.ts";

/** Where an error arose: on this machine, or on the one that was asked. */
export type ErrorOrigin = "local" | "remote";

/** The shape of every error in `--json` output and in the `data` of a JSON-RPC error. */
export interface ErrorJson {
  code: ErrorCode;
  message: string;
  hint: string;
  origin: ErrorOrigin;
  /** Machine-readable details, for example `reason` of a refusal. */
  details: Record<string, unknown>;
}

/** The same in every copy of this module: the command line and what it loads lazily have one each. */
const BRAND = Symbol.for("mx-agent.MxError");

export class MxError extends Error {
  static override [Symbol.hasInstance](value: unknown): value is MxError {
    return typeof value === "object" && value !== null && BRAND in value;
  }

  override readonly name = "MxError";
  readonly [BRAND] = true;
  readonly code: ErrorCode;
  readonly hint: string;
  readonly origin: ErrorOrigin;
  readonly details: Record<string, unknown>;

  constructor(json: ErrorJson, cause?: unknown) {
    super(json.message, cause === undefined ? undefined : { cause });
    this.code = json.code;
    this.hint = json.hint;
    this.origin = json.origin;
    this.details = json.details;
  }

  get exitCode(): number {
    return errorCatalogue[this.code].exit;
  }

  get rpcCode(): number {
    return errorCatalogue[this.code].rpc;
  }

  toJSON(): ErrorJson {
    return {
      code: this.code,
      message: this.message,
      hint: this.hint,
      origin: this.origin,
      details: this.details,
    };
  }
}

export type ErrorParams = Record<string, string | number>;

/**
 * Makes an error of the catalogue. `params` fill the templates and are kept as `details`.
 * A placeholder without a parameter becomes empty. `options.hint` replaces the hint where more is known.
 */
export function mxError(
  code: ErrorCode,
  params: ErrorParams = {},
  options: { cause?: unknown; origin?: ErrorOrigin; hint?: string } = {},
): MxError {
  const fill = (template: string, show: (name: string, value: string) => string = (_, value) => value) =>
    template.replace(/\{(\w+)\}/g, (_, name: string) => show(name, String(params[name] ?? "")));
  const entry = errorCatalogue[code];
  return new MxError(
    {
      code,
      message: fill(entry.message),
      hint: options.hint ?? fill(entry.hint, typed),
      origin: options.origin ?? "local",
      details: { ...params },
    },
    options.cause,
  );
}

const typed = (name: string, value: string) =>
  name === "room" || name === "agent" ? shellWord(value) : value;

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(errorCatalogue, value);
}

/** Reads an error that crossed a process boundary; undefined when it is not one of ours. */
export function errorFromJson(value: unknown): MxError | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const json: Partial<Record<keyof ErrorJson, unknown>> = value;
  if (!isErrorCode(json.code) || typeof json.message !== "string") return undefined;
  const details = typeof json.details === "object" && json.details !== null ? { ...json.details } : {};
  return new MxError({
    code: json.code,
    message: json.message,
    hint: typeof json.hint === "string" ? json.hint : "",
    origin: json.origin === "remote" ? "remote" : "local",
    details,
  });
}

/** What a disk says that takes no more: by the system's name, and by SQLite's number. */
const unwritable: Readonly<Record<string, string>> = {
  ENOSPC: "free some space on that file system",
  EDQUOT: "free some space: your quota on that file system is used up",
  EROFS: "the file system is read-only; make it writable, or name another directory (MX_AGENT_HOME)",
  8: "the file system is read-only; make it writable, or name another directory (MX_AGENT_HOME)",
  13: "free some space on that file system",
};

function cannotWrite(thrown: unknown): MxError | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const { code, errcode, path } = thrown as Error & Record<string, unknown>;
  // SQLite's extended codes have the basic one in their lowest byte.
  const name = typeof errcode === "number" ? String(errcode & 0xff) : String(code);
  const hint = Object.hasOwn(unwritable, name) ? unwritable[name] : undefined;
  if (hint === undefined) return undefined;
  const what = typeof path === "string" ? path : typeof errcode === "number" ? "a database" : "a file";
  return mxError("MX_CANNOT_WRITE", { path: what, detail: thrown.message, hint }, { cause: thrown });
}

/** Anything that was thrown, as one of ours: what we did not foresee is MX_INTERNAL. */
export function toMxError(thrown: unknown): MxError {
  if (thrown instanceof MxError) return thrown;
  const full = cannotWrite(thrown);
  if (full !== undefined) return full;
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return mxError("MX_INTERNAL", { detail }, { cause: thrown });
}

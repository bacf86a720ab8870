/** An answer that refuses, in the words of the Client-Server API ("Standard error response"). */
export class MatrixError extends Error {
  readonly status: number;
  readonly errcode: string;
  /** Further top-level fields of the body. */
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(status: number, errcode: string, message: string, extra: Record<string, unknown> = {}) {
    super(message);
    this.name = "MatrixError";
    this.status = status;
    this.errcode = errcode;
    this.extra = extra;
  }

  toJSON(): Record<string, unknown> {
    return { errcode: this.errcode, error: this.message, ...this.extra };
  }
}

export const forbidden = (reason: string): MatrixError => new MatrixError(403, "M_FORBIDDEN", reason);
export const notFound = (what: string): MatrixError => new MatrixError(404, "M_NOT_FOUND", what);
export const badJson = (what: string): MatrixError => new MatrixError(400, "M_BAD_JSON", what);
export const notJson = (what: string): MatrixError => new MatrixError(400, "M_NOT_JSON", what);
export const missingParam = (name: string): MatrixError =>
  new MatrixError(400, "M_MISSING_PARAM", `${name} is missing`);
export const invalidParam = (what: string): MatrixError => new MatrixError(400, "M_INVALID_PARAM", what);
export const tooLarge = (what: string): MatrixError => new MatrixError(413, "M_TOO_LARGE", what);
export const unrecognized = (status: 400 | 404 | 405, what: string): MatrixError =>
  new MatrixError(status, "M_UNRECOGNIZED", what);
export const limited = (retryAfterMs: number, reason = "too many requests"): MatrixError =>
  new MatrixError(429, "M_LIMIT_EXCEEDED", reason, { retry_after_ms: retryAfterMs });

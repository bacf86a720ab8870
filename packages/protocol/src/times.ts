const exact = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const anyFraction = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z$/;

/** Milliseconds since the epoch as RFC 3339 in UTC with milliseconds, as requests, decisions and chunks carry it. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}

/**
 * RFC 3339 in UTC with exactly three digits of a second, to milliseconds since the epoch; undefined for
 * any other form and for dates that do not exist.
 */
export function parseTime(text: string): number | undefined {
  if (!exact.test(text)) return undefined;
  const ms = Date.parse(text);
  return !Number.isNaN(ms) && new Date(ms).toISOString() === text ? ms : undefined;
}

/** RFC 3339 in UTC with any fraction of a second or none: state events for display, which others write by the second. */
export function isUtcTime(text: string): boolean {
  const seconds = anyFraction.exec(text)?.[1];
  return seconds !== undefined && parseTime(`${seconds}.000Z`) !== undefined;
}

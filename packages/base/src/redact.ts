/** Keeps secrets out of logs, the audit log and what a person is shown. */
import { isSecretField } from "./secret-names.ts";

export const REDACTED = "[redacted]";

/** Deeper than this a log says so instead of going on. */
const MAX_DEPTH = 8;

/**
 * A copy for a log: values under secret names are replaced, strings masked as by `maskText`, errors
 * and bytes made readable, circles and great depth cut. Never throws.
 */
export function redact(value: unknown): unknown {
  try {
    return copy(value, [], 0);
  } catch {
    // A getter threw: whose it is, and what it says, is not for us to repeat.
    return "[unreadable]";
  }
}

function copy(value: unknown, above: readonly object[], depth: number): unknown {
  if (typeof value === "string") return maskText(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (above.includes(value)) return "[circular]";
  if (depth >= MAX_DEPTH) return "[too deep]";
  const next = (inner: unknown) => copy(inner, [...above, value], depth + 1);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "[invalid date]" : value.toISOString();
  if (value instanceof URL) return maskText(value.href);
  if (value instanceof Map) return fields(value.entries(), next);
  if (Array.isArray(value) || value instanceof Set) return [...value].map(next);
  if (value instanceof Error) return errorFields(value, next);
  // A key, a socket, an instance of something: its own enumerable fields, and nothing that it computes.
  return fields(Object.entries(value), next);
}

function fields(entries: Iterable<[unknown, unknown]>, next: (inner: unknown) => unknown): object {
  const named = [...entries].map(([key, inner]) => {
    const name = String(key);
    return [name, isSecretField(name) && inner !== null && inner !== undefined ? REDACTED : next(inner)];
  });
  return Object.fromEntries(named);
}

function errorFields(error: Error, next: (inner: unknown) => unknown): object {
  const own = fields(
    Object.entries(error).filter(([name]) => name !== "name"),
    next,
  );
  return {
    type: error.name,
    message: maskText(error.message),
    ...own,
    ...(error.cause === undefined ? {} : { cause: next(error.cause) }),
    stack: error.stack === undefined ? undefined : maskText(error.stack),
  };
}

const mask = "***";

/** Half-open, in UTF-16 units. */
interface Span {
  start: number;
  end: number;
}

/** What stands for itself: tokens that show what they are by their form, and private keys. */
const whole = [
  /(?<![\w-])(?:gh[opsru]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|npm_\w{30,}|syt_[\w=]{10,}|mct_\w{10,}|mxagent:\d+\.\d+\.[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)/g,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?/g,
];
/** A head, then the secret up to the end of the match: headers and the scheme that comes with them. */
const headed = [
  /\b(bearer\s{1,4})[\w+/=.~-]{8,}/gi,
  /\b(authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:\w{1,32}\s{1,4})?)[^\s"',;]+/gi,
  /\b(cookie["']?\s{0,4}:\s{0,4}["']?)[^\r\n"']+/gi,
];
const urlUser = /\b([a-z][a-z0-9+.-]{0,31}:\/\/)([^\s/?#@'"<>]+)@/gi;
/** What stands before a value: `NAME=`, `name: `, `"name":`, or an option of a command line and a space. */
const label = /(?<![\w.-])(?:([A-Za-z_][\w.-]*)["']?\s{0,4}[=:]\s{0,4}|--?([A-Za-z][\w.-]*)\s{1,4})/g;
/** A value: in quotes, or up to a separator. */
const value = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'&;|,)}\]]+/y;

/**
 * Masks what looks like a secret inside of a text: assignments, options, headers, URLs, tokens, keys. All
 * of them are looked for in the text as it came, so that masking one never hides the label of another.
 */
export function maskText(text: string): string {
  const spans = [...wholeSpans(text), ...headedSpans(text), ...urlSpans(text), ...labelledSpans(text)];
  if (spans.length === 0) return text;
  let masked = "";
  let done = 0;
  for (const { start, end } of spans.sort((a, b) => a.start - b.start)) {
    if (end <= done) continue;
    if (start >= done) masked += text.slice(done, start) + mask;
    done = end;
  }
  return masked + text.slice(done);
}

function wholeSpans(text: string): Span[] {
  return whole.flatMap((form) =>
    [...text.matchAll(form)].map(({ index, 0: found }) => ({ start: index, end: index + found.length })),
  );
}

function headedSpans(text: string): Span[] {
  return headed.flatMap((form) =>
    [...text.matchAll(form)]
      .map(({ index, 0: found, 1: head = "" }) => ({ start: index + head.length, end: index + found.length }))
      .filter(({ start, end }) => !isHarmless(text.slice(start, end))),
  );
}

/** `ssh://git@host` names a user; the user of an http URL alone is a token as often as not. */
function urlSpans(text: string): Span[] {
  return [...text.matchAll(urlUser)].flatMap(({ index, 0: found, 1: scheme = "", 2: user = "" }) => {
    const colon = user.indexOf(":");
    if (colon < 0 && !/^https?:/i.test(scheme)) return [];
    return [{ start: index + scheme.length + colon + 1, end: index + found.length - 1 }];
  });
}

/**
 * A label that is not a secret's leaves its value to be looked at: in `error: token=x` that is another
 * label. One inside of a secret value goes on behind it, so that no character is read twice.
 */
function labelledSpans(text: string): Span[] {
  const spans: Span[] = [];
  let done = 0;
  for (const { index, 0: found, 1: name, 2: flag } of text.matchAll(label)) {
    const secret = name === undefined ? takesSecret(`--${flag}`) : isSecretField(name);
    if (!secret) continue;
    const start = Math.max(done, index + found.length);
    value.lastIndex = start;
    const given = value.exec(text)?.[0];
    if (given === undefined || isHarmless(given)) continue;
    const quote = given.startsWith('"') || given.startsWith("'") ? 1 : 0;
    done = start + given.length;
    spans.push({ start: start + quote, end: done - quote });
  }
  return spans;
}

/** The scheme before a header's value, which is masked by itself; what is masked already; what says nothing. */
function isHarmless(given: string): boolean {
  return /^(?:bearer|basic|digest|null|true|false|\*\*\*|\[redacted\])$/i.test(given);
}

/** What comes after `-c` is a script: one argument with many words. */
const scriptOption = /^-[a-z]*c$/i;
/** Options that say where a secret is, and not what it is. */
const pointsElsewhere = /[-_](?:stdin|file|path|fd|env|name|id|type|url)$/i;
const option = /^--?([A-Za-z][\w.-]*)$/;
/** Short options whose next argument is a secret, by program. */
const secretNext: Readonly<Record<string, readonly string[]>> = {
  sshpass: ["-p"],
  openssl: ["-k", "-K", "-pass", "-passin", "-passout"],
  zip: ["-P"],
  unzip: ["-P"],
};
/** A short option with the secret attached to it, by program. */
const secretAttached: Readonly<Record<string, string>> = {
  sshpass: "-p",
  mysql: "-p",
  mysqladmin: "-p",
  mysqldump: "-p",
  mariadb: "-p",
};
const userOptions = new Set(["-u", "--user", "-U", "--proxy-user"]);

/** A command line for the audit log and for people: as many arguments as came, the secrets in them masked. */
export function maskArgv(argv: readonly string[]): string[] {
  const program = argv[0]?.split("/").at(-1) ?? "";
  const next = lookup(secretNext, program) ?? [];
  const attached = lookup(secretAttached, program);
  return argv.map((argument, index) => {
    if (index === 0) return maskArgument(argument);
    const before = index > 1 ? (argv[index - 1] ?? "") : "";
    if (next.includes(before) || takesSecret(before)) return mask;
    if (attached !== undefined && argument.startsWith(attached) && argument.length > attached.length)
      return `${attached}${mask}`;
    if (userOptions.has(before) && argument.includes(":")) return `${argument.split(":")[0]}:${mask}`;
    return scriptOption.test(before) ? maskText(argument) : maskArgument(argument);
  });
}

function lookup<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** Whether the argument after this one is its value, and a secret. */
function takesSecret(argument: string): boolean {
  const name = option.exec(argument)?.[1];
  return name !== undefined && isSecretField(name) && !pointsElsewhere.test(name);
}

function maskArgument(argument: string): string {
  const equals = argument.indexOf("=");
  const name = argument.slice(0, equals).replace(/^-+/, "");
  // The whole value, spaces and all: it is one argument.
  if (equals > 0 && /^[\w.-]+$/.test(name) && isSecretField(name) && !pointsElsewhere.test(name))
    return `${argument.slice(0, equals)}=${mask}`;
  return maskText(argument);
}

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

/** Tokens that show what they are by their form, wherever they stand. */
const knownTokens =
  /(?<![\w-])(?:gh[opsru]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|npm_\w{30,}|syt_[\w=]{10,}|mct_\w{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)/g;
const privateKeyBlock = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?/g;
const bearer = /\b(bearer\s{1,4})[\w+/=.~-]{8,}/gi;
const authorization = /\b(authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:\w{1,32}\s{1,4})?)([^\s"',;]+)/gi;
const cookie = /\b(cookie["']?\s{0,4}:\s{0,4}["']?)[^\r\n"']+/gi;
const urlUser = /\b([a-z][a-z0-9+.-]{0,31}:\/\/)([^\s/?#@'"<>]+)@/gi;
/** What stands before a value: `NAME=`, `name: `, `"name":`, or an option of a command line and a space. */
const label = /(?<![\w.-])(?:([A-Za-z_][\w.-]*)["']?\s{0,4}[=:]\s{0,4}|--?([A-Za-z][\w.-]*)\s{1,4})/g;
/** A value: in quotes, or up to a separator. */
const value = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'&;|,)}\]]+/y;

/** Masks what looks like a secret inside of a text: assignments, options, headers, URLs, tokens, keys. */
export function maskText(text: string): string {
  const headed = text
    .replace(privateKeyBlock, "[private key]")
    .replace(authorization, (all, head: string, secret: string) => (isHarmless(secret) ? all : head + mask))
    .replace(bearer, `$1${mask}`)
    .replace(cookie, `$1${mask}`)
    .replace(urlUser, (_, scheme: string, user: string) => `${scheme}${maskUser(scheme, user)}@`);
  return maskLabelled(headed).replace(knownTokens, mask);
}

/** A label that is not a secret's leaves its value to be looked at: in `error: token=x` that is another label. */
function maskLabelled(text: string): string {
  let masked = "";
  let done = 0;
  for (const found of text.matchAll(label)) {
    const start = found.index + found[0].length;
    const [, name, flag] = found;
    const secret = name === undefined ? takesSecret(`--${flag}`) : isSecretField(name);
    if (!secret || found.index < done) continue;
    value.lastIndex = start;
    const given = value.exec(text)?.[0];
    if (given === undefined || isHarmless(given)) continue;
    masked += text.slice(done, start) + requote(given);
    done = start + given.length;
  }
  return masked + text.slice(done);
}

/** `ssh://git@host` names a user; the user of an http URL alone is a token as often as not. */
function maskUser(scheme: string, user: string): string {
  const colon = user.indexOf(":");
  if (colon >= 0) return `${user.slice(0, colon)}:${mask}`;
  return /^https?:/i.test(scheme) ? mask : user;
}

/** The scheme before a masked header's value, what is masked already, and what says nothing. */
function isHarmless(value: string): boolean {
  return /^(?:bearer|basic|digest|null|true|false|\*\*\*|\[redacted\]|\[private)$/i.test(value);
}

function requote(value: string): string {
  const quote = value[0] === '"' || value[0] === "'" ? value[0] : "";
  return `${quote}${mask}${quote}`;
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

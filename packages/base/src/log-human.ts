/** One JSON line of a log as a line for people: time, level, who, message, the other fields, then a stack. */
export function humanLine(line: string): string {
  const { time, level, name, pid: _, msg, err, ...rest } = parse(line);
  const head = [String(time), String(level).toUpperCase().padEnd(5), `${String(name)}:`];
  const words = [
    ...head,
    ...(msg === undefined ? [] : [oneLine(String(msg))]),
    ...fields(rest),
    ...errorWords(err),
  ];
  return `${words.join(" ")}\n${stackLines(err)}`;
}

/**
 * Text from elsewhere can neither start a line of its own nor drive a terminal: control and format
 * characters are written as escapes.
 */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) =>
    char === "\n" ? "\\n" : `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

function parse(line: string): Record<string, unknown> {
  const value: unknown = JSON.parse(line);
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function fields(rest: Record<string, unknown>): string[] {
  return Object.entries(rest).map(([name, value]) => `${oneLine(name)}=${fieldValue(value)}`);
}

function fieldValue(value: unknown): string {
  const plain = typeof value === "string" && /^[^\s"=]+$/.test(value);
  return oneLine(plain ? value : JSON.stringify(value));
}

function errorWords(err: unknown): string[] {
  if (typeof err !== "object" || err === null || !("message" in err))
    return err === undefined ? [] : [`err=${fieldValue(err)}`];
  const code = "code" in err && typeof err.code === "string" ? ` (${err.code})` : "";
  return [`error=${JSON.stringify(oneLine(String(err.message)))}${oneLine(code)}`];
}

function stackLines(err: unknown): string {
  if (typeof err !== "object" || err === null || !("stack" in err) || typeof err.stack !== "string")
    return "";
  const frames = err.stack.split("\n").filter((frame) => /^\s+at /.test(frame));
  return frames.map((frame) => `    ${oneLine(frame.trim())}\n`).join("");
}

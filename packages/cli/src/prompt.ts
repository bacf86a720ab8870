/** Questions to the person at the terminal, and secrets from where they are safe. */
import { createInterface } from "node:readline/promises";
import { mxError } from "@mx-agent/base";
import { type Cli, write } from "./cli.ts";

/** A yes or no; false without a terminal. */
export async function confirm(cli: Cli, question: string): Promise<boolean> {
  if (!cli.stdin.isTTY) return false;
  const lines = createInterface({ input: cli.stdin, output: cli.stderr });
  try {
    const reply = await lines.question(`${question} [y/N] `);
    return /^y(es)?$/i.test(reply.trim());
  } finally {
    lines.close();
  }
}

/** A line of text, trimmed; for a terminal alone. */
export async function question(cli: Cli, text: string): Promise<string> {
  const lines = createInterface({ input: cli.stdin, output: cli.stderr });
  try {
    return (await lines.question(text)).trim();
  } finally {
    lines.close();
  }
}

/** A line that is not shown while it is typed. MX_CANCELLED on Ctrl-C. */
export async function askSecret(cli: Cli, question: string): Promise<string> {
  // Before it is asked: who answers at once is not shown, either.
  cli.stdin.setRawMode?.(true);
  try {
    await write(cli.stderr, question);
    return await readHidden(cli);
  } finally {
    cli.stdin.setRawMode?.(false);
    cli.stdin.pause();
    await write(cli.stderr, "\n");
  }
}

async function readHidden(cli: Cli): Promise<string> {
  let typed = "";
  for await (const chunk of cli.stdin.iterator({ destroyOnReturn: false })) {
    for (const character of String(chunk)) {
      if (character === "\r" || character === "\n") return typed;
      if (character === "\u0003") throw mxError("MX_CANCELLED");
      if (character === "\u0004") return typed;
      if (character === "\u007f" || character === "\b") typed = [...typed].slice(0, -1).join("");
      else typed += character;
    }
  }
  return typed;
}

/** The lines of stdin up to its end, without line ends. */
export async function readLines(cli: Cli): Promise<string[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of cli.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "")
    .split(/\r?\n/);
}

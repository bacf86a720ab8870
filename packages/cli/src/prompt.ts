/** Questions to the person at the terminal, and secrets from where they are safe. */
import { createInterface } from "node:readline/promises";
import { mxError } from "@mx-agent/base";
import { type Cli, write } from "./cli.ts";

/** A yes or no; false without a terminal. MX_CANCELLED on Ctrl-C and Ctrl-D. */
export async function confirm(cli: Cli, text: string): Promise<boolean> {
  return cli.stdin.isTTY === true && /^y(es)?$/i.test(await question(cli, `${text} [y/N] `));
}

/** A line of text, trimmed; for a terminal alone. MX_CANCELLED on Ctrl-C and Ctrl-D. */
export async function question(cli: Cli, text: string): Promise<string> {
  const lines = createInterface({ input: cli.stdin, output: cli.stderr });
  try {
    return (await lines.question(text)).trim();
  } catch (error) {
    if (!(error instanceof Error && error.name === "AbortError")) throw error;
    await write(cli.stderr, "\n");
    throw mxError("MX_CANCELLED");
  } finally {
    lines.close();
  }
}

/** A line that is not shown while it is typed. MX_CANCELLED on Ctrl-C, and on Ctrl-D before anything was typed. */
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
      if (character === "\u0004" && typed === "") throw mxError("MX_CANCELLED");
      if (character === "\u0004") return typed;
      // Ctrl-U, as at every other password: once more from the beginning.
      if (character === "\u0015") typed = "";
      else if (character === "\u007f" || character === "\b") typed = [...typed].slice(0, -1).join("");
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

import { type Cli, write } from "./cli.ts";
import { columnsOf } from "./render/screen.ts";

export interface JsonFlag {
  json?: boolean;
}

/** Writes a command's answer: the value itself with --json, else what a person reads, as wide as the screen is. */
export async function answer<T>(
  cli: Cli,
  flags: JsonFlag,
  value: T,
  render: (value: T, columns: number) => string,
): Promise<void> {
  const text = flags.json ? JSON.stringify(value) : render(value, columnsOf(cli.stdout));
  if (text !== "") await write(cli.stdout, `${text}\n`);
}

/** Says something to the person, beside the answer. */
export async function note(cli: Cli, text: string): Promise<void> {
  await write(cli.stderr, `${text}\n`);
}

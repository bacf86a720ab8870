import { type Cli, write } from "./cli.ts";

export interface JsonFlag {
  json?: boolean;
}

/** Writes a command's answer: the value itself with --json, else what a person reads. */
export async function answer<T>(
  cli: Cli,
  flags: JsonFlag,
  value: T,
  render: (value: T) => string,
): Promise<void> {
  const text = flags.json ? JSON.stringify(value) : render(value);
  if (text !== "") await write(cli.stdout, `${text}\n`);
}

/** Says something to the person, beside the answer. */
export async function note(cli: Cli, text: string): Promise<void> {
  await write(cli.stderr, `${text}\n`);
}

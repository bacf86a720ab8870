/** -v: what a command does, said on stderr while it does it. */
import { note } from "./answer.ts";
import type { Cli } from "./cli.ts";

const levels = new WeakMap<Cli, number>();

/** How often -v was given. */
export function verbosityOf(cli: Cli): number {
  return levels.get(cli) ?? 0;
}

export function setVerbosity(cli: Cli, count: number): void {
  levels.set(cli, count);
}

export async function trace(cli: Cli, text: string): Promise<void> {
  if (verbosityOf(cli) > 0) await note(cli, `mx-agent: ${text}`);
}

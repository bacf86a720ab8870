import { note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { visible } from "../render/style.ts";

/** Says what is being done, to a person at a terminal alone: a script reads the answer. */
export async function doing(cli: Cli, what: string): Promise<void> {
  if (cli.stderr.isTTY) await note(cli, `- ${visible(what)} ...`);
}

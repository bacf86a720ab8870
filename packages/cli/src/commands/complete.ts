import { write } from "../cli.ts";
import { candidates } from "../completion/candidates.ts";
import { visible } from "../render/style.ts";
import type { Define } from "../verb.ts";

/** For the scripts of `completion`: each candidate in a line, a tab, and what it is. */
export const define: Define = (command, cli) => {
  command
    .argument("[words...]", "what is typed after mx-agent, the last word unfinished")
    .passThroughOptions()
    .action(async (words: string[]) => {
      for (const { value, about } of await candidates(cli, words))
        await write(cli.stdout, `${visible(value)}\t${visible(about)}\n`);
    });
};

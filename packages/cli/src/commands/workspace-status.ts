import type { Command } from "commander";
import { answer, type JsonFlag } from "../answer.ts";
import { type Cli, write } from "../cli.ts";
import { withCall } from "../daemon.ts";
import { ROOM } from "../parse/options.ts";
import { roomOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { renderWorkspaceStatus } from "../render/workspace.ts";
import { verb } from "../verb.ts";

/** Moves the cursor home and clears what is below. */
const REDRAW = "\u001b[H\u001b[J";

export function defineWorkspaceStatus(noun: Command, cli: Cli): void {
  verb(noun, {
    name: "status",
    summary: "a workspace with its members and agents",
    example: "workspace status --room build-farm --watch",
    more: "With --watch it is shown anew at every change, until Ctrl-C; with --json as one line each.",
  })
    .option(...ROOM)
    .option("--watch", "go on with every change")
    .action(async (flags: JsonFlag & { room?: string; watch?: boolean }) => {
      const room = roomOf(flags, await defaults(cli.env));
      const watch = flags.watch === true;
      await withCall(cli, "workspace.status", { room, watch }, async (call) => {
        for await (const status of call.output) {
          if (!flags.json && cli.stdout.isTTY) await write(cli.stdout, REDRAW);
          await answer(cli, flags, status, renderWorkspaceStatus);
        }
        const last = await call.result;
        if (!watch) await answer(cli, flags, last, renderWorkspaceStatus);
      });
    });
}

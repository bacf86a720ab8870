import type { KeysTo } from "@mx-agent/ipc";
import { type Command, Option } from "commander";
import { answer, type JsonFlag } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { ROOM } from "../parse/options.ts";
import { roomOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { renderWorkspaceKeys } from "../render/workspace.ts";
import { verb } from "../verb.ts";

/** Who may read: `workspace keys` and `workspace remove`. */
export function defineWorkspaceKeys(noun: Command, cli: Cli): void {
  verb(noun, {
    name: "keys",
    summary: "which devices can read what this machine sends into a workspace",
    example: "workspace keys --room build-farm --to signed",
    more:
      "Every device of a member, until all of them are signed by their owners; from then on only signed ones, so\n" +
      "that a homeserver cannot add a device that reads along. `auto` looks again, `signed` does not wait,\n" +
      "`all` is for members whose other devices are not signed. Of a user whose key was revoked, none.",
  })
    .option(...ROOM)
    .addOption(new Option("--to <which>", "change it").choices(["signed", "all", "auto"]))
    .action(async (flags: JsonFlag & { room?: string; to?: KeysTo | "auto" }) => {
      const room = roomOf(flags, await defaults(cli.env));
      await answer(
        cli,
        flags,
        await ask(cli, "workspace.keys", { room, to: flags.to ?? null }),
        renderWorkspaceKeys,
      );
    });

  verb(noun, {
    name: "remove <user>",
    summary: "take a member out of a workspace",
    example: "workspace remove @bob:example.org --room build-farm",
    more: "Whoever is in it can read what is sent into it; `trust revoke` only ends what he may do.",
  })
    .option(...ROOM)
    .action(async (user: string, flags: JsonFlag & { room?: string }) => {
      const room = roomOf(flags, await defaults(cli.env));
      const done = await ask(cli, "workspace.remove", { room, user });
      await answer(cli, flags, done, () => `${done.user_id} is out of ${done.room_id}`);
    });
}

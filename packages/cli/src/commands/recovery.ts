import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag, note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { askSecret, confirm, readLines } from "../prompt.ts";
import { renderRecovered, renderRecovery } from "../render/keys.ts";
import { pairs } from "../render/table.ts";
import { type Define, verb } from "../verb.ts";

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "enable",
    summary: "keep the account's keys on the homeserver, locked by a recovery key",
    example: "recovery enable",
    more:
      "Shows the recovery key once; it is stored nowhere, and nobody can show it again. With it alone a new\n" +
      "machine reads old messages and is a verified device. The homeserver cannot open what it keeps.",
  })
    .option("--replace", "make a new recovery key; the old one is worth nothing any more")
    .action(async (flags: JsonFlag & { replace?: boolean }) => {
      const done = await ask(cli, "recovery.enable", { replace: flags.replace === true });
      await answer(cli, flags, done, ({ recovery_key }) => pairs([["recovery key", recovery_key]]));
      if (!flags.json) await note(cli, "Write it down now, away from this machine: it is not shown again.");
    });

  verb(noun, {
    name: "status",
    summary: "whether recovery is enabled, and how much of it is backed up",
    example: "recovery status",
  }).action(async (flags: JsonFlag) =>
    answer(cli, flags, await ask(cli, "recovery.status", {}), renderRecovery),
  );

  verb(noun, {
    name: "recover",
    summary: "get everything back on this machine with the recovery key",
    example: "recovery recover",
    more: "The key is asked for without echo, or read from stdin; it is never an argument.",
  })
    .option("--key-stdin", "read the recovery key from stdin")
    .action(async (flags: JsonFlag & { keyStdin?: boolean }) => {
      const recovery_key = await keyOf(cli, flags.keyStdin === true);
      await answer(cli, flags, await ask(cli, "recovery.recover", { recovery_key }), renderRecovered);
    });

  verb(noun, {
    name: "disable",
    summary: "delete what the homeserver keeps of the account's keys",
    example: "recovery disable --yes",
    more: "The recovery key then opens nothing. Keys on this machine stay as they are.",
  })
    .option("--yes", "do not ask")
    .action(async (flags: JsonFlag & { yes?: boolean }) => {
      if (!flags.yes && !(await confirm(cli, "The recovery key will open nothing any more. Disable?")))
        throw mxError("MX_DECLINED", {}, cli.stdin.isTTY ? {} : { hint: "without a terminal, give --yes" });
      const done = await ask(cli, "recovery.disable", {});
      await answer(cli, flags, done, ({ was_enabled }) =>
        was_enabled ? "recovery is disabled" : "recovery was not enabled",
      );
    });
};

async function keyOf(cli: Cli, fromStdin: boolean): Promise<string> {
  const key = fromStdin ? (await readLines(cli))[0] : undefined;
  if (key) return key;
  if (fromStdin || !cli.stdin.isTTY)
    throw mxError("MX_USAGE", {
      detail: fromStdin ? "stdin has no line with a recovery key" : "no terminal to ask: use --key-stdin",
      command: "recovery recover",
    });
  return askSecret(cli, "Recovery key: ");
}

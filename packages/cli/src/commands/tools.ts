import { mxError } from "@mx-agent/base";
import type { Command } from "commander";
import { answer, type JsonFlag } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { AGENT, ROOM } from "../parse/options.ts";
import { roomOf, targetOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { renderTool, renderTools } from "../render/agent.ts";
import { shellWords } from "../render/command.ts";
import { type Define, type VerbSpec, verb } from "../verb.ts";

interface Flags extends JsonFlag {
  room?: string;
  agent?: string;
}

/** The tools that agents offer: `tools list`, and `agent tools` for who looks for them there. */
export function defineList(noun: Command, cli: Cli, spec: VerbSpec): void {
  verb(noun, spec)
    .option(...ROOM)
    .option("--agent <agent>", "of this agent alone")
    .action(async (flags: Flags) => {
      const room = roomOf(flags, await defaults(cli.env));
      await answer(
        cli,
        flags,
        await ask(cli, "tools.list", { room, agent: flags.agent ?? null }),
        renderTools,
      );
    });
}

export const define: Define = (noun, cli) => {
  defineList(noun, cli, {
    name: "list",
    summary: "the tools that agents of a workspace offer",
    example: "tools list --room build-farm",
  });

  verb(noun, {
    name: "show <tool>",
    summary: "one tool with the input that it takes",
    example: "tools show run_tests --room build-farm --agent builder",
  })
    .option(...ROOM)
    .option(...AGENT)
    .action(async (name: string, flags: Flags) => {
      const { room, agent } = targetOf(flags, await defaults(cli.env));
      const [wanted, version] = name.split("@");
      const found = (await ask(cli, "tools.list", { room, agent })).find(
        (tool) =>
          tool.name === wanted &&
          (version === undefined || tool.version.split(".")[0] === version || tool.version === version),
      );
      if (found === undefined)
        throw mxError("MX_NOT_FOUND", {
          what: `tool of ${agent}`,
          name,
          hint: `\`mx-agent ${shellWords(["tools", "list", "--room", room, "--agent", agent])}\` shows them`,
        });
      await answer(cli, flags, found, renderTool);
    });
};

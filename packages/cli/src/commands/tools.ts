import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag } from "../answer.ts";
import { ask } from "../daemon.ts";
import { AGENT, ROOM } from "../parse/options.ts";
import { roomOf, targetOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { renderTool, renderTools } from "../render/agent.ts";
import { shellWords } from "../render/command.ts";
import { type Define, verb } from "../verb.ts";

interface Flags extends JsonFlag {
  room?: string;
  agent?: string;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "list",
    summary: "the tools that agents of a workspace offer",
    example: "tools list --room build-farm",
  })
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

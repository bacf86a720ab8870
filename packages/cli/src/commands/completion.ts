import { Argument } from "commander";
import { answer, type JsonFlag } from "../answer.ts";
import { type Shell, scripts, shells } from "../completion/scripts.ts";
import { type Define, describe } from "../verb.ts";

export const define: Define = (command, cli) => {
  describe(command, {
    summary: "a script that makes a shell complete mx-agent's commands, options, workspaces and agents",
    example: "completion bash",
    more:
      "Put it where the shell reads it at its start:\n" +
      "  echo 'source <(mx-agent completion bash)' >> ~/.bashrc\n" +
      "  echo 'source <(mx-agent completion zsh)' >> ~/.zshrc\n" +
      "  mx-agent completion fish > ~/.config/fish/completions/mx-agent.fish",
  })
    .addArgument(new Argument("<shell>", "whose").choices(shells))
    .action(async (shell: Shell, flags: JsonFlag) => {
      const script = scripts[shell];
      await answer(cli, flags, { shell, script }, () => script.trimEnd());
    });
};

import { answer, type JsonFlag } from "../answer.ts";
import { withProgress } from "../progress.ts";
import { type Define, verb } from "../verb.ts";

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "check",
    summary: "ask the npm registry whether there is a newer mx-agent",
    example: "update check",
    more:
      "The only command that asks anybody about versions, and nothing asks by itself. It asks through npm, so registry, " +
      "proxy and login are those of npm's configuration. Exit status 3 where mx-agent is not published in that registry.",
  }).action(async (flags: JsonFlag) => {
    const { newestVersion } = await import("../update/registry.ts");
    const found = await withProgress(cli, "asking the npm registry", newestVersion(cli));
    await answer(cli, flags, found, ({ current, latest, newer, registry }) =>
      newer
        ? `mx-agent ${latest} is there (this is ${current}): \`npm install -g mx-agent@${latest}\`, then \`mx-agent daemon restart\``
        : `mx-agent ${current} is the newest in ${registry}`,
    );
  });
};

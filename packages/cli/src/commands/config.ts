import { effectiveConfig, settingNames } from "@mx-agent/base";
import { answer, type JsonFlag } from "../answer.ts";
import { directories } from "../places.ts";
import { pairs, table } from "../render/table.ts";
import { type Define, verb } from "../verb.ts";

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "show",
    summary: "every setting and the directories that are in force",
    example: "config show --origin",
    more: "A flag goes before the environment, that before config.toml, that before the default.",
  })
    .option("--origin", "say where each value comes from")
    .action(async (flags: JsonFlag & { origin?: boolean }) => {
      const dirs = directories(cli.env);
      const { values, origins, file } = await effectiveConfig({ configDir: dirs.config, env: cli.env });
      const shown = flags.origin
        ? { file, values, origins, directories: dirs }
        : { file, values, directories: dirs };
      await answer(cli, flags, shown, (_, columns) => {
        const settings = flags.origin
          ? table(
              ["SETTING", "VALUE", "FROM"],
              settingNames.map((name) => [name, values[name] ?? "", fromOf(origins[name])]),
              columns,
            )
          : pairs(settingNames.map((name) => [name, values[name] ?? ""]));
        const places = pairs([
          ["configuration", dirs.config],
          ["data", dirs.data],
          ["runtime", dirs.runtime],
        ]);
        return `${settings}\n\n${places}`;
      });
    });
};

const fromOf = ({ from, where }: { from: string; where: string | null }) =>
  where === null ? from : `${from} (${where})`;

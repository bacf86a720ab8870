import { answer, type JsonFlag } from "../answer.ts";
import { renderDown, takeDown } from "../setup/down.ts";
import { type Define, describe } from "../verb.ts";

export const define: Define = (command, cli) => {
  describe(command, {
    summary: "stop what `up` started, and remove it with --purge",
    example: "down",
    more:
      "Stops the daemon, its runner when nothing runs, the embedded homeserver of `up` and its tunnel.\n" +
      "Commands that others started here go on under the runner, and their results are sent when the daemon\n" +
      "is there again; --cancel ends them. `mx-agent up` starts all of it again.\n" +
      "--purge logs out and removes configuration, data and runtime directory: keys, trust, policy, audit log,\n" +
      "and with the embedded homeserver the accounts and rooms of everybody who uses it. It asks first.",
  })
    .option("--cancel", "end the commands that run here")
    .option("--purge", "remove everything of this home, after asking")
    .option("--yes", "do not ask")
    .action(async (flags: JsonFlag & { cancel?: boolean; purge?: boolean; yes?: boolean }) =>
      answer(cli, flags, await takeDown(cli, flags), renderDown),
    );
};

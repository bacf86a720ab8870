import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag, note } from "../answer.ts";
import { withProgress } from "../progress.ts";
import { pairs } from "../render/table.ts";
import type { ServiceStatus } from "../service/manager.ts";
import { type Define, verb } from "../verb.ts";

const LINGER = "it ends with your last logout: `loginctl enable-linger` keeps it, and starts it at boot";

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "install",
    summary: "let systemd or launchd start the daemon, and start it again when it fails",
    example: "service install",
    more:
      "A user unit of systemd, or an agent of launchd, with this very program and the variables that say where its home is. " +
      "A daemon that runs already is replaced; commands that run go on. Installed again, the file is written anew.",
  })
    .option("--print", "show the text of the file, and change nothing")
    .action(async (flags: JsonFlag & { print?: boolean }) => {
      const { installService, serviceFileText } = await import("../service/manager.ts");
      if (flags.print)
        return answer(cli, flags, { text: serviceFileText(cli) }, ({ text }) => text.trimEnd());
      const status = await withProgress(cli, "installing the service", installService(cli));
      await answer(cli, flags, status, ({ file }) => `installed and started: ${file}`);
      if (status.lingers === false) await note(cli, `note: ${LINGER}`);
    });

  verb(noun, {
    name: "uninstall",
    summary: "stop the service and remove its file",
    example: "service uninstall",
    more: "Commands that run go on under the runner.",
  }).action(async (flags: JsonFlag) => {
    const { uninstallService } = await import("../service/manager.ts");
    const removed = await withProgress(cli, "removing the service", uninstallService(cli));
    await answer(cli, flags, { removed }, () =>
      removed ? "the service was removed" : "no service was installed",
    );
  });

  verb(noun, {
    name: "status",
    summary: "whether the service is installed and runs, and whether it outlives a logout",
    example: "service status",
    more: "Exit status 3 when it is not installed.",
  }).action(async (flags: JsonFlag) => {
    const { serviceStatus } = await import("../service/manager.ts");
    const status = await serviceStatus(cli);
    if (!status.installed)
      throw mxError("MX_NOT_FOUND", {
        what: "service",
        name: status.file,
        hint: "`mx-agent service install` makes one",
      });
    await answer(cli, flags, status, render);
  });
};

function render({ file, manager, enabled, active, lingers }: ServiceStatus): string {
  return pairs([
    ["service", file],
    ["manager", manager],
    ["started by itself", enabled ? "yes" : "no"],
    ["running", active ? "yes" : "no"],
    ["after the last logout", lingers === null ? null : lingers ? "goes on" : LINGER],
  ]);
}

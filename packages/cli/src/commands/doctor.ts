import { answer, type JsonFlag } from "../answer.ts";
import { withProgress } from "../progress.ts";
import { renderDoctor } from "../render/doctor.ts";
import { type Define, describe, setExit } from "../verb.ts";

/** The answer to "is all well?" is no. */
const NOT_WELL = 3;

export const define: Define = (command, cli) => {
  describe(command, {
    summary: "look for what is wrong with this machine's mx-agent, and say what to do",
    example: "doctor --fix",
    more:
      "Looks at Node, directories, disk, sockets, daemon, runner, homeserver, clock, login, sync, keys, sandbox, limits and policy. " +
      "Exit status 3 when something is an error; warnings alone are 0.",
  })
    .option(
      "--fix",
      "repair what is safe to: permissions, a daemon that does not run, a policy that is missing",
    )
    .action(async (flags: JsonFlag & { fix?: boolean }) => {
      const { examine, repair } = await import("../doctor/doctor.ts");
      const look = () => withProgress(cli, "looking around", examine(cli));
      let found = await look();
      const { done, failed } = flags.fix ? await repair(found) : { done: [], failed: [] };
      if (done.length > 0) found = await look();
      const findings = found.map(({ fix, ...finding }) => ({ ...finding, fixable: fix !== undefined }));
      const worst = findings.some(({ level }) => level === "error")
        ? "error"
        : findings.some(({ level }) => level === "warning")
          ? "warning"
          : "ok";
      const shown = { level: worst, findings, fixed: done, not_fixed: failed };
      await answer(cli, flags, shown, (value) => renderDoctor(value, cli, flags.fix === true));
      if (worst === "error") setExit(cli, NOT_WELL);
    });
};

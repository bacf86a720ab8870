import { answer, type JsonFlag, note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask, notRunning } from "../daemon.ts";
import { parseCount } from "../parse/count.ts";
import { logFile } from "../places.ts";
import { withProgress } from "../progress.ts";
import { renderDaemonStatus } from "../render/daemon-status.ts";
import { type Define, verb } from "../verb.ts";

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "start",
    summary: "start the daemon of this machine, in the background",
    example: "daemon start",
    more: "Returns when the daemon answers, or says why it cannot start.",
  })
    .option("--foreground", "stay in this terminal, with the log on stderr")
    .action(async (flags: JsonFlag & { foreground?: boolean }) => {
      if (flags.foreground) {
        const { runForeground } = await import("../background/daemon.ts");
        return runForeground(cli);
      }
      const { startDaemon } = await import("../background/daemon.ts");
      const status = await withProgress(cli, "starting the daemon", startDaemon(cli));
      await answer(cli, flags, status, () => `the daemon is running (pid ${status.pid})`);
    });

  verb(noun, {
    name: "stop",
    summary: "stop the daemon; commands that run go on under the runner",
    example: "daemon stop",
  }).action(async (flags: JsonFlag) => {
    const { stopDaemon } = await import("../background/daemon.ts");
    const pid = await withProgress(cli, "stopping the daemon", stopDaemon(cli));
    await answer(cli, flags, { pid }, () =>
      pid === null ? "the daemon was not running" : `the daemon was stopped (pid ${pid})`,
    );
  });

  verb(noun, {
    name: "restart",
    summary: "stop the daemon and start it again; commands that run go on",
    example: "daemon restart",
  }).action(async (flags: JsonFlag) => {
    const { startDaemon, stopDaemon } = await import("../background/daemon.ts");
    await withProgress(cli, "stopping the daemon", stopDaemon(cli));
    const status = await withProgress(cli, "starting the daemon", startDaemon(cli));
    await answer(cli, flags, status, () => `the daemon is running (pid ${status.pid})`);
  });

  verb(noun, {
    name: "status",
    summary: "whether the daemon runs, and how it fares",
    example: "daemon status --json",
    more: "Exit status 3 when it does not run.",
  }).action(async (flags: JsonFlag) => {
    const status = await ask(cli, "daemon.status", {}).catch((error) => {
      throw notRunning(error);
    });
    await answer(cli, flags, status, (value) => renderDaemonStatus(value, cli));
  });

  verb(noun, {
    name: "reload",
    summary: "read the policy again now",
    example: "daemon reload",
    more: "A changed policy is read by itself; this says at once whether it is valid.",
  }).action(async (flags: JsonFlag) => {
    const reloaded = await ask(cli, "daemon.reload", {});
    await answer(cli, flags, reloaded, ({ policy }) =>
      policy.state === "ok"
        ? `policy: ok (${policy.file})`
        : `policy: ${policy.state}: ${policy.detail ?? `everything is denied (${policy.file})`}`,
    );
  });

  verb(noun, {
    name: "logs",
    summary: "the log of the daemon that runs in the background",
    example: "daemon logs -f",
    more: 'With --json one object for each line: `{"line":...}`. MX_AGENT_LOG_FORMAT=json makes the daemon log JSON.',
  })
    .option("-f, --follow", "go on with what is logged from now on")
    .option("-n, --lines <count>", "how many of the last lines", "100")
    .action((flags: LogFlags) => showLogs(cli, flags));
};

interface LogFlags extends JsonFlag {
  follow?: boolean;
  lines: string;
}

async function showLogs(cli: Cli, flags: LogFlags): Promise<void> {
  const lines = parseCount(flags.lines, "--lines");
  const { followFile, jsonLines, lastLines } = await import("../background/log-file.ts");
  const file = logFile(cli.env);
  const to = flags.json ? jsonLines(cli.stdout) : cli.stdout;
  const end = await lastLines(file, lines, to);
  if (end === undefined && !flags.follow) return note(cli, `no log yet at ${file}`);
  if (flags.follow) await followFile(file, end ?? 0, cli, to);
}

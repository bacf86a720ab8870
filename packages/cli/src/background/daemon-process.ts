import { toMxError } from "@mx-agent/base";
import { type Cli, write } from "../cli.ts";
import { directories } from "../places.ts";
import { errorJson } from "../render/errors.ts";
import { verbosityOf } from "../verbose.ts";

/** Runs the daemon here until it ends. In the background its last words are for `daemon start` to read. */
export async function runDaemonProcess(cli: Cli, foreground: boolean): Promise<void> {
  const { runDaemon } = await import("@mx-agent/daemon");
  try {
    await runDaemon({ dirs: directories(cli.env), env: cli.env, foreground, verbose: verbosityOf(cli) });
  } catch (error) {
    if (!foreground) await write(cli.stderr, errorJson(toMxError(error)));
    throw error;
  }
}

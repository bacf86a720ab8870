import type { Capabilities } from "@mx-agent/policy";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";

/** What this machine can do, by trying: as the daemon finds it, in whose surroundings runs are; without one, here. */
export async function capabilitiesOf(cli: Cli): Promise<Capabilities> {
  return ask(cli, "daemon.diagnose", {}).catch(async () => {
    const { inspectMachine } = await import("@mx-agent/daemon");
    return inspectMachine();
  });
}

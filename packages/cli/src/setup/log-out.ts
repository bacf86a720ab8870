/** What `down --purge` takes away from the homeserver, and what it has to say where that is not there. */
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { isSetUp } from "../places.ts";
import { embeddedOf } from "./embedded.ts";
import { agentsHere } from "./machine.ts";
import type { SetupRecord } from "./record.ts";
import { whereItRuns } from "./where-it-runs.ts";

/** A login that is gone here. Its names are null where no daemon could be asked. */
export interface RemovedLogin {
  user_id: string | null;
  device_id: string | null;
  homeserver: string | null;
  /** Whether its homeserver knows: else the device stays logged in there. */
  logged_out: boolean;
}

/** Others see the agents gone, and the server forgets the device; where it cannot be told, the rest goes on. */
export async function logOut(cli: Cli, record: SetupRecord): Promise<RemovedLogin | null> {
  const status = await whereItRuns(ask(cli, "daemon.status", {}));
  if (status === undefined) return silentLogin(cli, record) ? unknown : null;
  if (status.account === null) return null;
  const { user_id, device_id, homeserver } = status.account;
  for (const { room_id, agent_id } of (await whereItRuns(agentsHere(cli, null))) ?? [])
    if (!(await whereItRuns(ask(cli, "agent.unregister", { room: room_id, agent: agent_id })))) break;
  const done = await whereItRuns(ask(cli, "auth.logout", {}));
  if (embeddedOf(cli, homeserver) !== undefined) return null;
  return { user_id, device_id, homeserver, logged_out: done?.server_side === true };
}

const unknown: RemovedLogin = { user_id: null, device_id: null, homeserver: null, logged_out: false };

/** Whether there may be a login that nobody can end, because no daemon runs; at the embedded homeserver it goes with that. */
export function silentLogin(cli: Cli, record: SetupRecord): boolean {
  return record.embedded === undefined && isSetUp(cli.env);
}

export function loginLine({ user_id, device_id, homeserver, logged_out }: RemovedLogin): string {
  const whose = user_id === null ? "this machine's device" : `the device ${device_id} of ${user_id}`;
  return logged_out
    ? `${whose} is logged out`
    : `${whose} stays logged in${homeserver === null ? "" : ` at ${homeserver}`}: the homeserver could not be told. End it from another session of that account`;
}

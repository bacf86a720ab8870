/** Machines that are set up as people do it: by `up` and `join`. */
import type { TestHomeserver } from "../../../../scripts/homeservers.ts";
import type { Machine, Ran, RunOptions } from "./machine.ts";

export interface Up {
  homeserver: { url: string; embedded: boolean; public_url: string | null };
  account: { user_id: string };
  workspace: { room_id: string };
  invitation: { link: string; invite_id: string } | null;
  changed: string[];
}

export interface Joined {
  account: { user_id: string };
  agent: { agent_id: string } | null;
  changed: string[];
}

/** Flags that give the first machine the embedded homeserver, or an account on the given one. */
export function upFlags(machine: Machine, homeserver: TestHomeserver | undefined): string[] {
  const name = ["--agent", machine.name];
  return homeserver === undefined
    ? ["up", "--embedded", "--bind", "127.0.0.1:0", ...name]
    : ["up", "--homeserver", homeserver.url, "--register", "--user", machine.account, ...name];
}

/** What a guest types; on a homeserver of somebody else he makes an account there. */
export function joinFlags(machine: Machine, link: string, homeserver: TestHomeserver | undefined): string[] {
  const account = homeserver === undefined ? [] : ["--register", "--user", machine.account];
  return ["join", link, "--yes", "--agent", machine.name, ...account];
}

export async function invite(
  machine: Machine,
  ...flags: string[]
): Promise<{ link: string; invite_id: string }> {
  return machine.ask(["invite", "create", ...flags]);
}

/** The error that a command ended with. */
export async function failure(
  machine: Machine,
  args: string[],
  options?: RunOptions,
): Promise<{ exit: number | null; code: string; message: string; hint: string; reason: unknown }> {
  const ran = await machine.run([...args, "--json"], options);
  return errorOf(ran);
}

export function errorOf({ code: exit, stdout, stderr }: Ran) {
  try {
    const {
      error,
    }: { error: { code: string; message: string; hint: string; details: { reason?: unknown } } } =
      JSON.parse(stdout);
    return { exit, code: error.code, message: error.message, hint: error.hint, reason: error.details.reason };
  } catch {
    throw new Error(`no error, but status ${exit}: ${stdout}${stderr}`);
  }
}

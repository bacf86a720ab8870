/** The account's password, where the homeserver wants it before it changes something. */
import { MxError, mxError } from "@mx-agent/base";
import type { Cli } from "./cli.ts";
import { askSecret, readLines } from "./prompt.ts";

export interface PasswordFlag {
  passwordStdin?: boolean;
}

export const PASSWORD_STDIN = [
  "--password-stdin",
  "read the account's password from stdin; else MX_AGENT_PASSWORD, or it is asked for when it is needed",
] as const;

/** Does the work with the password that was given, if any; asks for it at a terminal when the server does. */
export async function withPassword<T>(
  cli: Cli,
  flags: PasswordFlag,
  work: (password: string | null) => Promise<T>,
): Promise<T> {
  const given = flags.passwordStdin ? (await readLines(cli))[0] : cli.env.MX_AGENT_PASSWORD;
  if (flags.passwordStdin && !given)
    throw mxError("MX_USAGE", { detail: "stdin has no line with a password", command: "" });
  try {
    return await work(given ?? null);
  } catch (error) {
    const asked = error instanceof MxError && error.code === "MX_PASSWORD_NEEDED";
    if (!asked || given !== undefined || !cli.stdin.isTTY) throw error;
    return work(await askSecret(cli, `Password of ${error.details.user}: `));
  }
}

import { MxError } from "@mx-agent/base";

const ABSENT: readonly string[] = [
  "MX_DAEMON_UNREACHABLE",
  "MX_NOT_LOGGED_IN",
  "MX_NOT_RUNNING",
  "MX_HOMESERVER_UNREACHABLE",
];

/** undefined where the daemon, its login or its homeserver is not there. */
export async function whereItRuns<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof MxError && ABSENT.includes(error.code)) return undefined;
    throw error;
  }
}

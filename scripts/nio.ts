import { pythonVenv } from "./synapse/venv.ts";

/**
 * A Python that has matrix-nio with libolm: a Matrix client of another stack, from the SDK to the cryptography.
 *
 * @throws VenvUnavailable
 */
export function nioPython(): Promise<string> {
  return pythonVenv("nio-venv", ["matrix-nio[e2e]==0.26.0"]);
}

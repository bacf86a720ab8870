import { pythonVenv, VenvUnavailable } from "./synapse/venv.ts";

/**
 * A Python that has matrix-nio: a Matrix client of another stack. The last version that does its cryptography by libolm,
 * which is another implementation than ours down to the ratchets; where there is no libolm for this Python, a later one
 * that does it by vodozemac, as ours does.
 *
 * @throws VenvUnavailable
 */
export async function nioPython(): Promise<string> {
  try {
    return await pythonVenv("nio-libolm-venv", ["matrix-nio[e2e]==0.25.2"]);
  } catch (error) {
    if (!(error instanceof VenvUnavailable)) throw error;
    return pythonVenv("nio-venv", ["matrix-nio[e2e]==0.26.0"]);
  }
}

import { execFile } from "node:child_process";

export interface Ended {
  /** null when it could not be started or a signal ended it. */
  status: number | null;
  stdout: string;
  stderr: string;
  /** Whether there is such a program on PATH. */
  found: boolean;
}

/** Runs another program of this machine to its end, for at most `timeout_ms`. Never rejects. */
export function runProgram(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  timeout_ms = 30_000,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { env, timeout: timeout_ms, cwd: "/" }, (error, stdout, stderr) => {
      const found = !(error !== null && error.code === "ENOENT");
      resolve({ status: found ? child.exitCode : null, stdout, stderr, found });
    });
  });
}

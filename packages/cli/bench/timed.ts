import { spawn } from "node:child_process";
import { once } from "node:events";

/** Milliseconds from the start of a process to its end. An error when it ends with anything but 0. */
export async function timeOf(command: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [program = "", ...args] = command;
  const start = performance.now();
  const child = spawn(program, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, "close");
  const elapsed = performance.now() - start;
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${said}`);
  return elapsed;
}

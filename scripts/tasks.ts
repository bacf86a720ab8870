import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs one step with its output shown; answers whether it ended with status 0. */
export function step(
  name: string,
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<boolean> {
  process.stderr.write(`\n== ${name}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
    child.on("error", reject);
    child.on("exit", (code) => resolve(code === 0));
  });
}

export const types = () => step("types", "tsc", ["-p", "tsconfig.json"]);
export const lint = () => step("lint", "biome", ["check", "--error-on-warnings", "."]);
export const build = () => step("build", process.execPath, ["scripts/build.ts"]);

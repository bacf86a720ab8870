import type { Define } from "../verb.ts";

export const define: Define = (command) => {
  command
    .requiredOption("--dir <path>", "where the spools are")
    .requiredOption("--socket <path>", "where the daemon finds it")
    .action(async ({ dir, socket }: { dir: string; socket: string }) => {
      const { runRunner } = await import("@mx-agent/runner");
      await runRunner({ dir, socket });
    });
};

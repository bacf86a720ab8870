import type { FileIdentity } from "@mx-agent/base";
import type { Machine } from "./machine.ts";
import { absolutePath } from "./paths.ts";

/**
 * A machine on which everything that a policy names is there: to test a policy away from the machine
 * that it is for. What the given one has is as it is; a bare name that it does not have is in
 * /usr/bin, and any absolute path is a real file or directory. Never for a decision that counts.
 */
export function assumedMachine(machine: Machine): Machine {
  const directory = (path: string): FileIdentity | null => {
    const found = machine.resolveDirectory(path);
    const text = absolutePath(path, "");
    return found ?? (text === null ? null : { path: text, dev: 0, ino: 0 });
  };
  return {
    ...machine,
    resolveCommand(name, cwd) {
      const found = machine.resolveCommand(name, cwd);
      if (found || name === "" || (name.includes("/") && !name.startsWith("/"))) return found;
      const path = absolutePath(name.includes("/") ? name : `/usr/bin/${name}`, "");
      return path === null ? null : { path, target: { path, dev: 0, ino: 0 } };
    },
    resolveDirectory: directory,
    resolvePath: (path) => machine.resolvePath?.(path) ?? directory(path)?.path ?? null,
  };
}

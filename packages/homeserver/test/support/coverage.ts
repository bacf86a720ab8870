import { readFileSync } from "node:fs";
import type { Logger } from "../../src/index.ts";

/**
 * coverage.txt is the list of what this homeserver is there to answer. `daemon` and `sdk` are recorded, from
 * sessions of the daemon and of the client library that tests have with it; `element` is what an ordinary client needs besides, from
 * the library's sources and the specification; `operator` is ours. `refused` is asked for, and answered
 * M_UNRECOGNIZED on purpose.
 */
const list = readFileSync(new URL("../coverage.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "")
  .map((line) => {
    const [clients = "", method = "", pattern = ""] = line.split(/ +/);
    return { clients: clients.split(","), call: `${method} ${pattern}` };
  });

/** The calls of one client, or all. */
export function listed(client?: string): string[] {
  return list
    .filter(({ clients }) => client === undefined || clients.includes(client))
    .map(({ call }) => call);
}

export const refused: ReadonlySet<string> = new Set(listed("refused"));

/** A logger for a server that writes down what is asked of it. */
export function recorder(seen: Set<string>): Logger {
  return {
    debug: (fields) => {
      const { method, pattern, path } = fields as { method?: string; pattern?: string; path?: string };
      seen.add(`${method} ${pattern ?? path}`);
    },
    info() {},
    warn() {},
    error() {},
  };
}

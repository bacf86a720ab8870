import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Request, RequestTable } from "../state/requests.ts";

const ENDING = ".input";

/** Where the chunk boundaries of a request's input are kept while it is under way. */
export function stdinFile(dir: string, invocation_id: string): string {
  return join(dir, `${invocation_id}${ENDING}`);
}

/** Whether a request may still be answered. */
export function isUnderWay({ state }: Pick<Request, "state">): boolean {
  return state === "requested" || state === "held" || state === "running";
}

/** Removes the boundaries of requests that are over and that nobody has come back to. */
export function removeStdinFiles(dir: string, requests: RequestTable): void {
  for (const name of readdirSync(dir)) {
    if (!name.endsWith(ENDING)) continue;
    const request = requests.get(name.slice(0, -ENDING.length));
    if (!request || !isUnderWay(request)) rmSync(join(dir, name), { force: true });
  }
}

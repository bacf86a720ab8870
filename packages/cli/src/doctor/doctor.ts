/** Every check, in the order in which one thing needs the other. */
import { toMxError } from "@mx-agent/base";
import type { Cli } from "../cli.ts";
import {
  checkAudit,
  checkDaemon,
  checkKeys,
  checkLogin,
  checkRunner,
  checkSandboxAround,
  checkService,
  checkSockets,
  checkSync,
} from "./daemon.ts";
import type { Finding } from "./finding.ts";
import { checkClock, checkHomeserver } from "./homeserver.ts";
import { checkConfiguration, checkDirectories, checkDisk, checkNode } from "./machine.ts";
import { checkLimits, checkPolicy, checkSandbox } from "./policy.ts";
import { lookAround, type World } from "./world.ts";

export async function examine(cli: Cli): Promise<Finding[]> {
  return findingsOf(await lookAround(cli));
}

export async function findingsOf(world: World): Promise<Finding[]> {
  return [
    checkNode(process.version, process.platform, process.arch),
    ...checkDirectories(world),
    await checkConfiguration(world),
    checkDisk(world),
    checkSockets(world),
    checkSandboxAround(world),
    checkDaemon(world),
    checkAudit(world) ?? [],
    checkRunner(world) ?? [],
    checkService(world),
    checkHomeserver(world),
    checkClock(world) ?? [],
    checkLogin(world) ?? [],
    checkSync(world) ?? [],
    ...checkKeys(world),
    checkSandbox(world),
    checkLimits(world),
    ...(await checkPolicy(world)),
  ].flat();
}

/** Does what can be done about each finding; answers what was done, or why it could not be. */
export async function repair(findings: readonly Finding[]): Promise<{ done: string[]; failed: string[] }> {
  const done: string[] = [];
  const failed: string[] = [];
  for (const { fix, detail } of findings) {
    if (fix === undefined) continue;
    try {
      done.push(await fix());
    } catch (error) {
      failed.push(`${detail}: ${toMxError(error).message}`);
    }
  }
  return { done, failed };
}

/** Where this machine's mx-agent keeps its things, and what it is configured to do. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { checkPrivateDir, type Dirs, type Env, effectiveConfig, resolveDirs } from "@mx-agent/base";
import type { TargetFlags } from "./parse/target.ts";

export function directories(env: Env): Dirs {
  return resolveDirs(env);
}

export function sockets(env: Env): { daemon: string; agent: string } {
  const { runtime } = resolveDirs(env);
  // Whoever may enter or replace it could answer in the daemon's place.
  checkPrivateDir(runtime);
  return { daemon: join(runtime, "daemon.sock"), agent: join(runtime, "agent.sock") };
}

/** Whether a daemon has ever run here. */
export function isSetUp(env: Env): boolean {
  return existsSync(join(resolveDirs(env).data, "state.db"));
}

/** What a daemon in the background writes. */
export function logFile(env: Env): string {
  return join(resolveDirs(env).data, "daemon.log");
}

export function policyFile(env: Env): string {
  return join(resolveDirs(env).config, "policy.toml");
}

/** Room and agent where the flags name none. */
export async function defaults(env: Env): Promise<TargetFlags> {
  const { values } = await effectiveConfig({ configDir: resolveDirs(env).config, env });
  return { room: values.default_room ?? undefined, agent: values.default_agent ?? undefined };
}

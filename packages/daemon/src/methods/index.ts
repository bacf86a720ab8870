import type { Handlers } from "@mx-agent/ipc";
import type { Daemon } from "../daemon.ts";
import { agentMethods } from "./agent.ts";
import { auditMethods } from "./audit.ts";
import { authMethods } from "./auth.ts";
import { callMethods } from "./call.ts";
import { daemonMethods } from "./daemon.ts";
import { deviceMethods } from "./device.ts";
import { execMethods } from "./exec.ts";
import { inviteMethods } from "./invite.ts";
import { invocationMethods, runMethods } from "./invocation.ts";
import { keysMethods } from "./keys.ts";
import { policyMethods } from "./policy.ts";
import { trustMethods } from "./trust.ts";
import { workspaceMethods } from "./workspace.ts";

/** The whole method table; a missing method is a compile error. */
export function methods(daemon: Daemon): Handlers {
  return {
    ...daemonMethods(daemon),
    ...authMethods(daemon),
    ...keysMethods(daemon),
    ...deviceMethods(daemon),
    ...workspaceMethods(daemon),
    ...agentMethods(daemon),
    ...trustMethods(daemon),
    ...inviteMethods(daemon),
    ...execMethods(daemon),
    ...callMethods(daemon),
    ...invocationMethods(daemon),
    ...runMethods(daemon),
    ...policyMethods(daemon),
    ...auditMethods(daemon),
  };
}

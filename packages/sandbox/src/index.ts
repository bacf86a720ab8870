export type * from "./api.ts";
export {
  buildEnvironment,
  type ChildEnvironment,
  type DropReason,
  type EnvironmentSources,
} from "./environment.ts";
export { LEAF, type LimitsPlace, probeLimits, processesIn, strangersIn } from "./limits.ts";
export {
  FIRST_OPENED_FD,
  GATE_FD,
  OPTIONS_FD,
  type OpenedPath,
  type PathKind,
  planSandbox,
  type SandboxContext,
  type SandboxPlan,
  type SandboxRefusal,
  STATUS_FD,
} from "./plan.ts";
export { probeMachine } from "./probe.ts";
export { isWithin } from "./view.ts";

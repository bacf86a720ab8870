export { type DenyCode, type DenyReason, denyCodes, isDenyCode } from "./codes.ts";
export { loadPolicy } from "./compile.ts";
export { decide, requirements } from "./decide.ts";
export type {
  Decision,
  Denial,
  Grant,
  GrantedLimits,
  GrantedSandbox,
  Permission,
  PolicyRequest,
  PolicyStep,
} from "./decision.ts";
export { isSecretName, isSteeringName } from "./environment.ts";
export { type Machine, nodeMachine, type ResolvedCommand } from "./machine.ts";
export type { LoadedPolicy, Policy, ToolDefinition } from "./model.ts";
export { type Problem, showProblem, type Warning } from "./problems.ts";
export { tools } from "./tools.ts";

export { type Allowance, allowAgent } from "./allow.ts";
export { assumedMachine } from "./assumed-machine.ts";
export { beyond, type GrantPart } from "./beyond.ts";
export { type Capabilities, checkPolicy } from "./check.ts";
export { type DenyCode, type DenyReason, denyCodes, isDenyCode } from "./codes.ts";
export { loadPolicy } from "./compile.ts";
export { capacityOf, decide, requirements } from "./decide.ts";
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
export { type Machine, nodeMachine, type ResolvedCommand } from "./machine.ts";
export type { LoadedPolicy, Policy, ToolDefinition } from "./model.ts";
export { type Problem, showProblem, type Warning } from "./problems.ts";
export { policyReference } from "./reference.ts";
export { type TestResult, testPolicy } from "./self-test.ts";
export { tools } from "./tools.ts";

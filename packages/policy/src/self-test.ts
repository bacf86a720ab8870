/** `policy test`: the [[test]] blocks of the file, by the same decision as a request's. */
import { decide } from "./decide.ts";
import type { Decision } from "./decision.ts";
import type { Machine } from "./machine.ts";
import type { LoadedPolicy } from "./model.ts";
import type { TestTable } from "./schema.ts";

export interface TestResult {
  name: string;
  file: string;
  line: number;
  passed: boolean;
  expected: string;
  /** `allow`, `hold` or `deny:CODE`. */
  actual: string;
  decision: Decision;
}

export function testPolicy(loaded: LoadedPolicy, machine: Machine): TestResult[] {
  if (loaded.state !== "ok") return [];
  return loaded.policy.tests.map(({ table, place }) => {
    const decision = decide(loaded, requestOf(table), machine);
    const actual = decision.effect === "deny" ? `deny:${decision.code}` : decision.effect;
    return {
      name: table.name,
      file: place.file,
      line: place.line,
      passed: actual === table.expect || decision.effect === table.expect,
      expected: table.expect,
      actual,
      decision,
    };
  });
}

function requestOf({ request }: TestTable) {
  return {
    room_id: request.room,
    user_id: request.user,
    ask:
      request.tool === undefined
        ? { kind: "exec" as const, command: request.command ?? [] }
        : { kind: "call" as const, tool: request.tool, args: request.args ?? {} },
    cwd: request.cwd ?? null,
    env: request.env ?? {},
    timeout_ms: request.timeout_ms ?? null,
    device_verified: request.device_verified === true,
  };
}

/** `policy check`, `test` and `init`: on a file, without the daemon. */
import { readFile } from "node:fs/promises";
import { ensurePrivateDir, mxError, writeFileAtomic } from "@mx-agent/base";
import {
  assumedMachine,
  type Capabilities,
  checkPolicy,
  type LoadedPolicy,
  loadPolicy,
  type Machine,
  nodeMachine,
  showProblem,
  testPolicy,
} from "@mx-agent/policy";
import { directories } from "../places.ts";
import { emptyPolicy } from "./empty.ts";

type Env = NodeJS.ProcessEnv;

export interface CheckedPolicy {
  file: string;
  state: LoadedPolicy["state"];
  problems: string[];
  warnings: string[];
}

export async function checkPolicyFile(
  env: Env,
  file: string,
  capabilities: Capabilities,
): Promise<CheckedPolicy> {
  const machine = machineOf(env);
  const loaded = loadPolicy(await textOf(file), file, machine);
  const warnings = warningsOf(loaded, machine, capabilities);
  return { file, state: loaded.state, problems: problemsOf(loaded), warnings };
}

/** What a policy should not say, or says to no effect. */
export function warningsOf(loaded: LoadedPolicy, machine: Machine, capabilities: Capabilities): string[] {
  return checkPolicy(loaded, machine, capabilities).map(showProblem);
}

export interface TestedPolicy {
  file: string;
  state: LoadedPolicy["state"];
  problems: string[];
  tests: { name: string; line: number; passed: boolean; expected: string; actual: string }[];
}

/** `assume`: as if everything that the policy names were on this machine. */
export async function testPolicyFile(env: Env, file: string, assume: boolean): Promise<TestedPolicy> {
  const here = machineOf(env);
  const machine = assume ? assumedMachine(here) : here;
  const loaded = loadPolicy(await textOf(file), file, machine);
  const tests = testPolicy(loaded, machine).map(({ name, line, passed, expected, actual }) => ({
    name,
    line,
    passed,
    expected,
    actual,
  }));
  return { file, state: loaded.state, problems: problemsOf(loaded), tests };
}

/** MX_CANNOT_WRITE when there is a file already. */
export async function initPolicyFile(directory: string, file: string): Promise<void> {
  if ((await readIfThere(file)) !== null)
    throw mxError("MX_CANNOT_WRITE", {
      path: file,
      detail: "there is a policy already",
      hint: "`mx-agent policy check` looks at it",
    });
  ensurePrivateDir(directory);
  await writeFileAtomic(file, emptyPolicy);
}

export function machineOf(env: Env): Machine {
  const { config, data, runtime } = directories(env);
  return nodeMachine(env, [config, data, runtime]);
}

function problemsOf(loaded: LoadedPolicy): string[] {
  return loaded.state === "invalid" ? loaded.problems.map(showProblem) : [];
}

async function textOf(file: string): Promise<string> {
  const text = await readIfThere(file);
  if (text === null)
    throw mxError("MX_NOT_FOUND", {
      what: "policy",
      name: file,
      hint: "without one everything is denied; `mx-agent policy init` writes one that says how",
    });
  return text;
}

export async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    const detail = error instanceof Error ? error.message : String(error);
    throw mxError("MX_CONFIG", { file, detail }, { cause: error });
  }
}

/** `policy allow`, and what `up` and `join` write: on the file, leaving every other character as it is. */
import { ensurePrivateDir, mxError, writeFileAtomic } from "@mx-agent/base";
import { type Allowance, allowAgent, loadPolicy, showProblem } from "@mx-agent/policy";
import type { Cli } from "../cli.ts";
import { directories, policyFile } from "../places.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { emptyPolicy } from "./empty.ts";
import { machineOf, readIfThere, warningsOf } from "./local.ts";

type Env = NodeJS.ProcessEnv;

export interface PolicyChange {
  file: string;
  /** A unified diff; empty where all of it was allowed before. */
  diff: string;
  text: string;
  /** What `policy check` says about the file as it would be. */
  warnings: string[];
}

/** The file as it would be with this allowed; nothing is written. MX_CONFIG where the result would be no policy. */
export async function planAllowance(cli: Cli, allowance: Allowance): Promise<PolicyChange> {
  const { env } = cli;
  const file = policyFile(env);
  const before = (await readIfThere(file)) ?? emptyPolicy;
  const { text, diff } = allowAgent(before, allowance, file);
  const machine = machineOf(env);
  const loaded = loadPolicy(text, file, machine);
  if (loaded.state === "invalid")
    throw mxError(
      "MX_CONFIG",
      { file, detail: `with that it would not be valid: ${loaded.problems.map(showProblem).join("; ")}` },
      { hint: "nothing was written; `mx-agent policy check` looks at the file as it is" },
    );
  return { file, diff, text, warnings: warningsOf(loaded, machine, await capabilitiesOf(cli)) };
}

export function writePolicy(env: Env, { file, text }: Pick<PolicyChange, "file" | "text">): void {
  ensurePrivateDir(directories(env).config);
  writeFileAtomic(file, text);
}

/** Writes a policy that allows nothing, and says how to allow something in that room; `false` where there is one. */
export async function ensurePolicy(env: Env, room_id: string): Promise<boolean> {
  const file = policyFile(env);
  if ((await readIfThere(file)) !== null) return false;
  writePolicy(env, { file, text: emptyPolicy.replaceAll("!room:example.org", room_id) });
  return true;
}

import { isSecretName } from "@mx-agent/base";
import type { RunSpec } from "@mx-agent/runner";
import { buildEnvironment } from "@mx-agent/sandbox";
import type { Admitted } from "../admit/admitted.ts";

export interface SpecContext {
  /** The daemon's own environment, from which the policy's allow-list picks. */
  env: NodeJS.ProcessEnv;
  home: string;
  /** Our configuration, data and runtime directories: no sandbox shows them. */
  hidden_paths: string[];
}

/** What the runner is told to start: the admitted request, and nothing that was not admitted. */
export function specOf(run_id: string, admitted: Admitted, context: SpecContext): RunSpec {
  const { grant, request } = admitted;
  const { env } = buildEnvironment({
    base: context.env,
    allowlist: grant.env_allowlist,
    requested: grant.env,
    home: context.home,
    isSecretName,
  });
  return {
    run_id,
    executable: grant.executable,
    argv: grant.argv,
    cwd: grant.cwd,
    env,
    sandbox:
      grant.sandbox.backend === "none"
        ? grant.sandbox
        : { ...grant.sandbox, hidden_paths: context.hidden_paths },
    limits: grant.limits,
    stdin: request.kind === "exec" && request.content.stdin,
  };
}

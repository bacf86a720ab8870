import { policyFile } from "../places.ts";
import { checkPolicyFile, initPolicyFile } from "../policy/local.ts";
import { type Finding, failure, ok, warning } from "./finding.ts";
import type { World } from "./world.ts";

export function checkSandbox({ diagnosis: { bubblewrap } }: World): Finding {
  return bubblewrap.available
    ? ok("sandbox", `bubblewrap ${bubblewrap.version} works`)
    : warning(
        "sandbox",
        bubblewrap.reason,
        "what a policy wants sandboxed is refused here until it works (`apt install bubblewrap`)",
      );
}

/** Which limits hold, and how well; none of them is ever dropped silently. */
export function checkLimits({ diagnosis: { limits } }: World): Finding {
  const always = "time and output by the runner";
  return limits.kind === "cgroup"
    ? ok("limits", `memory and processes by a cgroup, ${always}`)
    : warning(
        "limits",
        `memory and processes by a watch that looks ten times a second (${limits.reason}), ${always}`,
        "between two looks a command can have more; `mx-agent service install` lets systemd (cgroup v2) hold them",
      );
}

/** The file as it is now, with what this machine can do. */
export async function checkPolicy(world: World): Promise<Finding[]> {
  const file = policyFile(world.cli.env);
  const checked = await checkPolicyFile(world.cli.env, file, world.diagnosis).catch(() => undefined);
  if (checked === undefined)
    return [
      warning(
        "policy",
        `there is none at ${file}: everything is denied`,
        "`mx-agent policy init`",
        async () => {
          await initPolicyFile(world.dirs.config, file);
          return `wrote ${file}, which allows nothing and says how`;
        },
      ),
    ];
  if (checked.state === "invalid")
    return [
      failure(
        "policy",
        `everything is denied: ${checked.problems.join("; ")}`,
        `correct ${file}; \`mx-agent policy check\``,
      ),
    ];
  return checked.warnings.length === 0
    ? [ok("policy", file)]
    : checked.warnings.map((text) => warning("policy", text, "`mx-agent policy check` shows them all"));
}

/** The daemon, and the way to it. */
import { chmodSync, lstatSync } from "node:fs";
import { shellWords } from "../render/command.ts";
import { isServiceInstalled, lingers } from "../service/manager.ts";
import type { CheckName, Finding } from "./finding.ts";
import { failure, ok, warning } from "./finding.ts";
import type { World } from "./world.ts";

/** Sockets that others could connect to; a socket without a daemon is removed by the next one. */
export function checkSockets({ dirs }: World): Finding {
  for (const name of ["daemon.sock", "agent.sock", "runner.sock"]) {
    const path = `${dirs.runtime}/${name}`;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (!stat.isSocket()) return failure("sockets", `${path} is no socket`, `move it away: rm ${path}`);
    if ((stat.mode & 0o077) !== 0)
      return failure("sockets", `others may connect to ${path}`, `chmod 600 ${path}`, async () => {
        chmodSync(path, 0o600);
        return `chmod 600 ${path}`;
      });
  }
  return ok("sockets", `in ${dirs.runtime}, yours alone`);
}

/** A sandbox around this very process, as coding agents put around their tools. */
export function checkSandboxAround({ daemon }: World): Finding {
  if (daemon.up || daemon.error.code !== "MX_SOCKET_FORBIDDEN")
    return ok("sandbox around", "none that forbids Unix sockets");
  return failure("sandbox around", daemon.error.message, daemon.error.hint);
}

export function checkDaemon({ cli, daemon }: World): Finding {
  if (!daemon.up) {
    const { code, message, hint } = daemon.error;
    if (code === "MX_SOCKET_FORBIDDEN")
      return warning("daemon", "cannot be asked from inside of this sandbox", hint);
    const fix = code === "MX_DAEMON_UNREACHABLE" ? start : undefined;
    return failure("daemon", message, hint, fix && (() => fix(cli)));
  }
  const { pid, version } = daemon.status;
  if (version !== cli.version)
    return warning(
      "daemon",
      `it is mx-agent ${version}, and this is ${cli.version}`,
      "`mx-agent daemon restart`; commands that run go on",
      () => restart(cli),
    );
  return ok("daemon", `runs (pid ${pid}, mx-agent ${version})`);
}

/** Lines that the daemon has written to its audit log, and that were not in it when it was started. */
export function checkAudit({ daemon }: World): Finding | undefined {
  const lines = daemon.up ? (daemon.status.audit_contradicted ?? []) : [];
  if (lines.length === 0) return undefined;
  return failure(
    "audit",
    `the record was cut or rewritten while the daemon was down: line ${lines.join(", ")} is not what was written`,
    "`mx-agent audit verify`; find out who could write to its files, and keep a copy of them",
  );
}

async function start(cli: World["cli"]): Promise<string> {
  const { startDaemon } = await import("../background/daemon.ts");
  return `started the daemon (pid ${(await startDaemon(cli)).pid})`;
}

async function restart(cli: World["cli"]): Promise<string> {
  const { startDaemon, stopDaemon } = await import("../background/daemon.ts");
  await stopDaemon(cli);
  return `restarted the daemon (pid ${(await startDaemon(cli)).pid})`;
}

export function checkRunner({ daemon }: World): Finding | undefined {
  if (!daemon.up) return undefined;
  const { runner, running_invocations } = daemon.status;
  return runner.state === "running"
    ? ok("runner", `runs (pid ${runner.pid}), with ${running_invocations} invocations`)
    : failure(
        "runner",
        "does not run, so nothing can",
        "`mx-agent daemon restart`; see `mx-agent daemon logs`",
      );
}

/** A service that ends with the last logout, although it was installed to stay. */
export function checkService({ cli }: World, lingering: boolean | null = lingers()): Finding {
  if (!isServiceInstalled(cli))
    return ok("service", "none is installed; `mx-agent service install` starts the daemon at boot");
  return lingering === false
    ? warning("service", "it ends with your last logout", "`loginctl enable-linger`")
    : ok("service", "installed");
}

export function checkLogin({ daemon, diagnosis }: World): Finding | undefined {
  if (!daemon.up) return undefined;
  const { account, sync } = daemon.status;
  const again = "`mx-agent auth login --homeserver URL --user NAME`";
  if (account === null || sync.state === "logged_out")
    return failure("login", sync.detail ?? "not logged in", again);
  if (diagnosis.homeserver?.login_accepted === false)
    return failure("login", `the homeserver no longer accepts the login of ${account.user_id}`, again);
  return ok("login", `${account.user_id}, device ${account.device_id}`);
}

export function checkSync({ daemon }: World): Finding | undefined {
  if (!daemon.up || daemon.status.account === null) return undefined;
  const { sync, outbox_depth } = daemon.status;
  const detail = `${sync.state.replace("_", "-")}${sync.detail === null ? "" : `: ${sync.detail}`}`;
  if (sync.state === "healthy") return ok("sync", `healthy; ${outbox_depth} events wait to be sent`);
  const wait = "the daemon goes on by itself; `mx-agent daemon logs` says more";
  return sync.state === "rate_limited" || sync.state === "degraded"
    ? warning("sync", detail, wait)
    : failure("sync", detail, "`mx-agent daemon restart`, then `mx-agent daemon logs`");
}

/** Our key is the one that each workspace shows for our agents, and what arrives can be read. */
export function checkKeys({ daemon, fingerprint, agents }: World): Finding[] {
  if (!daemon.up || daemon.status.account === null) return [];
  const check: CheckName = "keys";
  if (fingerprint === null)
    return [failure(check, "the signing key cannot be read", "`mx-agent daemon logs` says why")];
  const found: Finding[] = [];
  for (const { agent_id, room_id, mine, warnings, ...agent } of agents) {
    const which = shellWords(["--room", room_id, "--agent", agent_id]);
    if (mine && agent.fingerprint !== fingerprint)
      found.push(
        failure(
          check,
          `${room_id} shows another key than ours for ${agent_id}`,
          `somebody has overwritten it; \`mx-agent agent register ${which}\``,
        ),
      );
    for (const text of warnings)
      found.push(warning(check, `${agent_id}: ${text}`, `\`mx-agent agent show ${which}\``));
  }
  const { undecryptable } = daemon.status;
  if (undecryptable > 0)
    found.push(
      warning(
        check,
        `${undecryptable} events cannot be decrypted yet`,
        "their keys may still come; the daemons of those who sent them have to be online",
      ),
    );
  return found.length > 0 ? found : [ok(check, `ours is ${fingerprint}, and every workspace shows it`)];
}

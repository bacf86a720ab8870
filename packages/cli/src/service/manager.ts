/** The service manager of this user, asked through its own program. */
import { existsSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { homedir, userInfo } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { mxError, writeFileAtomic } from "@mx-agent/base";
import { type Ended, runProgram } from "../background/program.ts";
import type { Cli } from "../cli.ts";
import { logFile } from "../places.ts";
import { LAUNCHD_LABEL, launchdAgent, MARK, type ServiceText, systemdUnit } from "./text.ts";

export interface ServiceStatus {
  manager: "systemd" | "launchd";
  file: string;
  installed: boolean;
  /** Whether it is started with the session, or at boot where the user lingers. */
  enabled: boolean;
  active: boolean;
  /** Whether it goes on after the last logout; null where that is not a question. */
  lingers: boolean | null;
}

const UNIT = "mx-agent.service";

/** What runs as the service: this program, with the variables that say where its home is. */
export function serviceText(cli: Cli): ServiceText {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(cli.env))
    if (value !== undefined && value !== "" && isKept(name)) env[name] = value;
  return { command: [process.execPath, realpathSync(cli.entry), "daemon", "start", "--foreground"], env };
}

/** PATH is what bare names in a policy are looked up in. A password is for one login. */
function isKept(name: string): boolean {
  if (/^MX_AGENT_/.test(name)) return !/PASSWORD|TOKEN/.test(name);
  return ["PATH", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "NODE_EXTRA_CA_CERTS"].includes(name);
}

export function serviceFileText(cli: Cli): string {
  return managerHere() === "launchd"
    ? launchdAgent(serviceText(cli), logFile(cli.env))
    : systemdUnit(serviceText(cli), null);
}

function managerHere(): ServiceStatus["manager"] {
  return process.platform === "darwin" ? "launchd" : "systemd";
}

function serviceFile(cli: Cli): string {
  const home = cli.env.HOME !== undefined && isAbsolute(cli.env.HOME) ? cli.env.HOME : homedir();
  if (managerHere() === "launchd") return join(home, "Library", "LaunchAgents", `${LAUNCHD_LABEL}.plist`);
  const config = cli.env.XDG_CONFIG_HOME;
  const base = config !== undefined && isAbsolute(config) ? config : join(home, ".config");
  return join(base, "systemd", "user", UNIT);
}

/** Writes the file and starts it. MX_PLATFORM without a manager that answers, MX_CANNOT_WRITE over somebody else's file. */
export async function installService(cli: Cli): Promise<ServiceStatus> {
  const file = serviceFile(cli);
  if (existsSync(file) && !readFileSync(file, "utf8").includes(MARK))
    throw mxError("MX_CANNOT_WRITE", {
      path: file,
      detail: "it is there, and was not written by mx-agent",
      hint: "move it away, or keep it",
    });
  if (managerHere() === "systemd") await mustAnswer(cli, ["--user", "show-environment"]);
  // One that was started by hand would keep the service from starting.
  const { stopDaemon } = await import("../background/daemon.ts");
  await stopDaemon(cli);
  await mkdir(dirname(file), { recursive: true, mode: 0o755 });
  writeFileAtomic(file, serviceFileText(cli));
  if (managerHere() === "launchd") {
    await manager(cli, ["bootout", `gui/${uid()}/${LAUNCHD_LABEL}`]);
    await mustAnswer(cli, ["bootstrap", `gui/${uid()}`, file]);
  } else {
    await mustAnswer(cli, ["--user", "daemon-reload"]);
    await mustAnswer(cli, ["--user", "enable", UNIT]);
    await mustAnswer(cli, ["--user", "restart", UNIT]);
  }
  return serviceStatus(cli);
}

/** Stops it and removes the file; false where there was none. */
export async function uninstallService(cli: Cli): Promise<boolean> {
  const file = serviceFile(cli);
  if (!existsSync(file)) return false;
  if (managerHere() === "launchd") await manager(cli, ["bootout", `gui/${uid()}/${LAUNCHD_LABEL}`]);
  else await mustAnswer(cli, ["--user", "disable", "--now", UNIT]);
  rmSync(file);
  if (managerHere() === "systemd") await mustAnswer(cli, ["--user", "daemon-reload"]);
  return true;
}

export async function serviceStatus(cli: Cli): Promise<ServiceStatus> {
  const file = serviceFile(cli);
  const installed = existsSync(file);
  if (managerHere() === "launchd") {
    const { status, stdout } = await manager(cli, ["print", `gui/${uid()}/${LAUNCHD_LABEL}`]);
    const active = status === 0 && /state = running/.test(stdout);
    return { manager: "launchd", file, installed, enabled: status === 0, active, lingers: null };
  }
  const is = async (question: string) =>
    installed && (await manager(cli, ["--user", question, UNIT])).status === 0;
  const [enabled, active] = [await is("is-enabled"), await is("is-active")];
  return { manager: "systemd", file, installed, enabled, active, lingers: lingers() };
}

/** Whether a service is installed, without asking anybody. */
export function isServiceInstalled(cli: Cli): boolean {
  return existsSync(serviceFile(cli));
}

/** logind keeps the user's manager, and so the service, after the last logout. */
export function lingers(): boolean | null {
  if (managerHere() === "launchd") return null;
  return existsSync(join("/var/lib/systemd/linger", userInfo().username));
}

function manager(cli: Cli, args: readonly string[]): Promise<Ended> {
  return runProgram(managerHere() === "launchd" ? "launchctl" : "systemctl", args, cli.env);
}

async function mustAnswer(cli: Cli, args: readonly string[]): Promise<void> {
  const { status, stderr, found } = await manager(cli, args);
  if (status === 0) return;
  const program = managerHere() === "launchd" ? "launchctl" : "systemctl";
  const said = stderr.trim().split("\n")[0] || `status ${status}`;
  throw mxError(
    "MX_PLATFORM",
    { detail: found ? `${program} ${args.join(" ")}: ${said}` : `there is no ${program} on this machine` },
    {
      hint: "`mx-agent service install --print` shows the text, to install by hand; or `mx-agent daemon start`",
    },
  );
}

const uid = () => process.getuid?.() ?? 0;

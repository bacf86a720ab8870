/** The npm registry, asked through npm itself: it knows which one it is, and how to get there. */
import { mxError } from "@mx-agent/base";
import { type Ended, runProgram } from "../background/program.ts";
import type { Cli } from "../cli.ts";

const PACKAGE = "mx-agent";

export interface NewestVersion {
  current: string;
  latest: string;
  newer: boolean;
  registry: string;
}

/** MX_NOT_FOUND where it is not published there, MX_REGISTRY_UNREACHABLE where npm cannot say. */
export async function newestVersion(cli: Cli): Promise<NewestVersion> {
  const configured = await npm(cli, ["config", "get", "registry"]);
  const registry = configured.stdout.trim();
  if (configured.status !== 0 || !URL.canParse(registry))
    throw unreachable(`npm names no registry: ${lastLine(configured)}`);
  const view = await npm(cli, ["view", PACKAGE, "dist-tags.latest", "--json", "--fetch-retries=0"]);
  const latest = view.status === 0 ? textIn(view.stdout) : undefined;
  if (latest === undefined && /\bE404\b/.test(view.stdout + view.stderr))
    throw mxError("MX_NOT_FOUND", {
      what: "package in that registry",
      name: `${PACKAGE} (${registry})`,
      hint: "mx-agent may not be published there; README says how it is installed from its sources",
    });
  if (latest === undefined) throw unreachable(`${registry}: ${lastLine(view)}`);
  return { current: cli.version, latest, newer: isNewer(latest, cli.version), registry };
}

async function npm(cli: Cli, args: readonly string[]): Promise<Ended> {
  const ended = await runProgram("npm", [...args, "--no-update-notifier"], cli.env);
  if (!ended.found) throw unreachable("there is no npm on PATH");
  return ended;
}

const unreachable = (detail: string) => mxError("MX_REGISTRY_UNREACHABLE", { detail });

function textIn(json: string): string | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "string" && value !== "" ? value : undefined;
  } catch {
    return undefined;
  }
}

/** npm says what went wrong in its first line with a sentence, before the way to its log. */
function lastLine({ stdout, stderr }: Ended): string {
  const lines = `${stderr}\n${stdout}`
    .split("\n")
    .filter((line) => /^npm (error|ERR!) (?!code|A complete log)/.test(line));
  return lines[0]?.replace(/^npm (error|ERR!) /, "") ?? "npm did not say why";
}

/** Versions by semver.org 2.0.0, section 11. */
export function isNewer(one: string, other: string): boolean {
  const [a, b] = [parsed(one), parsed(other)];
  for (let part = 0; part < 3; part++)
    if (a.numbers[part] !== b.numbers[part]) return (a.numbers[part] ?? 0) > (b.numbers[part] ?? 0);
  if (a.pre === "" || b.pre === "") return a.pre === "" && b.pre !== "";
  return a.pre.localeCompare(b.pre, "en", { numeric: true }) > 0;
}

function parsed(version: string): { numbers: number[]; pre: string } {
  const [core = "", ...pre] = (version.split("+")[0] ?? "").split("-");
  return { numbers: core.split(".").map(Number), pre: pre.join("-") };
}

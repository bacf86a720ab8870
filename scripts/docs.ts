/**
 * Writes the reference pages that are made from the code: `node scripts/docs.ts`. With --check it writes
 * nothing and ends with status 1 where a page is not what the code says.
 *
 * A new page is a new entry of `references`; where it is about one package, that package exports the text.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { defaultConfig, errorCatalogue, isErrorCode, settingNames, settings } from "@mx-agent/base";
import { cliReference, launchdAgent, systemdUnit } from "@mx-agent/cli";
import { policyReference } from "@mx-agent/policy";
import { isReason, reasons } from "@mx-agent/protocol/core";
import { root } from "./tasks.ts";

export interface Reference {
  /** Relative to the project. */
  file: string;
  text(): string | Promise<string>;
}

/** For people who install a service themselves: where npm puts a program for everybody. */
const installed = { command: ["/usr/local/bin/mx-agent", "daemon", "start", "--foreground"], env: {} };
/** Not below /tmp, where another user could put a link in its place. */
const usersLog = "/Users/YOU/Library/Logs/mx-agent.log";
const machineWide = { ...installed, env: { MX_AGENT_HOME: "/var/lib/mx-agent" } };

export const references: readonly Reference[] = [
  { file: "wiki/reference/errors.md", text: errorReference },
  { file: "wiki/reference/configuration.md", text: configurationReference },
  { file: "wiki/reference/cli.md", text: async () => `${generated}\n\n${await cliReference()}\n` },
  { file: "service/mx-agent.service", text: () => systemdUnit(installed, null) },
  { file: "service/mx-agent-system.service", text: () => systemdUnit(machineWide, "mx-agent") },
  { file: "service/com.mxagent.daemon.plist", text: () => launchdAgent(installed, usersLog) },
  { file: "wiki/reference/policy.md", text: () => `${generated}\n\n${policyReference()}` },
];

/** What a page is in the file system, or undefined. */
export function written(file: string): string | undefined {
  try {
    return readFileSync(join(root, file), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

const exitMeanings: Readonly<Record<number, string>> = {
  3: "the answer is no: not running, not logged in, no such thing",
  64: "the command was wrong",
  65: "the data was wrong",
  69: "the daemon or the homeserver is not there",
  70: "a bug in mx-agent",
  74: "a file cannot be written, or output is incomplete or damaged",
  76: "the two sides do not understand each other",
  77: "refused: by policy, trust, an approval or a role",
  78: "configuration or platform",
  124: "it took too long",
  126: "the command could not be started",
  127: "the command was not found, or the interpreter that a script names",
  130: "cancelled with Ctrl-C",
};

const generated = "<!-- Written by `node scripts/docs.ts` from the code; change it there. -->";

function errorReference(): string {
  const codes = Object.keys(errorCatalogue).filter(isErrorCode);
  const exits = [...new Set(codes.map((code) => errorCatalogue[code].exit))].sort((a, b) => a - b);
  const sections = exits.map((exit) => {
    const meaning = exitMeanings[exit];
    if (meaning === undefined) throw new Error(`exit code ${exit} has no meaning in scripts/docs.ts`);
    const rows = codes
      .filter((code) => errorCatalogue[code].exit === exit)
      .map((code) => {
        const { message, hint, rpc } = errorCatalogue[code];
        return [`\`${code}\``, String(rpc), message, hint];
      });
    return `### ${exit}: ${meaning}\n\n${table(["code", "JSON-RPC", "message", "what to do"], rows)}`;
  });
  return `${generated}

# Errors, exit codes and reasons

Every error of mx-agent has a code. On a terminal it is printed with its message and what to do; with \`--json\` it is
\`{"error":{"code":…,"message":…,"hint":…,"origin":"local"|"remote","details":{…}}}\`; over the sockets it is the
\`data\` of a JSON-RPC error. \`{name}\` stands for what the error is about, and is among its \`details\`.

\`exec\` and \`call\` end with the exit code of the remote command (128 + n when signal n ended it). Where a number could
be the command's or ours, ours ends standard error with \`mx-agent: MX_…\`.

## Errors by exit code

${sections.join("\n\n")}

## Reasons of a refusal

What \`exec.rejected.reason\`, \`call.response.code\` and the audit log say, and the \`reason\` of \`MX_REFUSED\`.
\`{agent}\` is the agent that was asked, \`{requester}\` the one that asked.

${table(
  ["reason", "what happened", "what to do", "on whose machine"],
  Object.keys(reasons)
    .filter(isReason)
    .map((name) => {
      const { sentence, remedy, on } = reasons[name];
      return [
        `\`${name}\``,
        sentence,
        remedy,
        on === "target" ? "the one that refused" : "the one that asked",
      ];
    }),
)}
`;
}

function configurationReference(): string {
  const rows = settingNames.map((name) => {
    const { env, oneOf, about } = settings[name];
    const values = oneOf === null ? "text" : oneOf.map((value) => `\`${value}\``).join(", ");
    return [`\`${name}\``, `\`${env}\``, values, defaultConfig[name] ?? "none", about];
  });
  return `${generated}

# Configuration

\`config.toml\` in the configuration directory. A flag wins over the environment, the environment over the file, the
file over the default; \`mx-agent config show --origin\` shows what is in force and where it comes from. A key that is
not in this table, or a value of another kind, is refused with file, line and key.

${table(["key", "variable", "value", "default", "what for"], rows)}

## Directories

${table(
  ["directory", "variable of its own", "with `MX_AGENT_HOME`", "else"],
  [
    [
      "configuration",
      "`MX_AGENT_CONFIG_DIR`",
      "`config` in it",
      "`$XDG_CONFIG_HOME/mx-agent`, or `~/.config/mx-agent`",
    ],
    [
      "data",
      "`MX_AGENT_DATA_DIR`",
      "`data` in it",
      "`$XDG_DATA_HOME/mx-agent`, or `~/.local/share/mx-agent`",
    ],
    [
      "runtime (sockets, locks)",
      "`MX_AGENT_RUNTIME_DIR`",
      "`runtime` in it",
      "`$XDG_RUNTIME_DIR/mx-agent` where that outlives a logout, or `run` in the data directory",
    ],
  ],
)}

All three are absolute paths, made with mode 0700, and refused when another user owns or may enter them, when they are
symbolic links, or when somebody else could replace a directory above them. logind removes \`/run/user/UID\` with the
last session of a user who does not linger (\`loginctl enable-linger\`); it is not used then, so that a daemon keeps its
sockets and a cron job finds them.
`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

async function main(check: boolean): Promise<number> {
  let stale = 0;
  for (const { file, text } of references) {
    const current = await text();
    if (written(file) === current) continue;
    stale++;
    process.stderr.write(
      `${file} ${check ? "is not what the code says; run node scripts/docs.ts" : "written"}\n`,
    );
    if (check) continue;
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), current);
  }
  return check && stale > 0 ? 1 : 0;
}

if (import.meta.main) process.exitCode = await main(process.argv.includes("--check"));

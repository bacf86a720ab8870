/** What a service manager is told. */

export interface ServiceText {
  /** Program and arguments, absolute. */
  command: readonly string[];
  env: Readonly<Record<string, string>>;
}

/** The line by which we know a file of ours again. */
export const MARK = "Written by `mx-agent service install`.";

/**
 * A unit of systemd. `user`: of a user manager; else machine-wide, under a uid of its own.
 *
 * KillMode=process: a stop ends the daemon alone; the runner and what it runs go on, and the next daemon finds them.
 * Delegate: limits of runs are then the kernel's to hold; DelegateSubgroup needs systemd 254, and an older one says that
 * it does not know it, and goes on. What no restart helps against (usage, refused, configuration) is not tried again.
 */
export function systemdUnit({ command, env }: ServiceText, user: string | null): string {
  const machine = user !== null;
  return `# ${machine ? "Machine-wide: scripts/install-system-service.sh puts the program and the account in." : MARK}
[Unit]
Description=mx-agent: signed commands between machines
Documentation=man:mx-agent(1)
${machine ? "Wants=network-online.target\nAfter=network-online.target\n" : ""}
[Service]
Type=exec
ExecStart=${command.map(execWord).join(" ")}
${Object.entries(env)
  .map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}\n`)
  .join(
    "",
  )}${machine ? `User=${user}\nStateDirectory=${user}\nStateDirectoryMode=0700\nWorkingDirectory=/var/lib/${user}\n` : ""}KillMode=process
Delegate=yes
DelegateSubgroup=mx-agent
UMask=0077
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=64 77 78

[Install]
WantedBy=${machine ? "multi-user.target" : "default.target"}
`;
}

/** systemd.syntax(7): quotes, and specifiers doubled. */
const quoted = (text: string) =>
  `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%").replaceAll("\n", "\\n")}"`;

/** In a command line variables would be put in as well. */
function execWord(word: string): string {
  return /^[\w./:@+-]+$/.test(word) ? word : quoted(word).replaceAll("$", "$$$$");
}

export const LAUNCHD_LABEL = "com.mxagent.daemon";

/** An agent of launchd. AbandonProcessGroup: as KillMode=process above. */
export function launchdAgent({ command, env }: ServiceText, logFile: string): string {
  const strings = (words: readonly string[]) =>
    words.map((word) => `    <string>${xml(word)}</string>\n`).join("");
  const variables = Object.entries(env)
    .map(([name, value]) => `    <key>${xml(name)}</key>\n    <string>${xml(value)}</string>\n`)
    .join("");
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ${MARK} -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${LAUNCHD_LABEL}</string>
  <key>ProgramArguments</key>
  <array>
${strings(command)}  </array>
  <key>EnvironmentVariables</key>
  <dict>
${variables}  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>AbandonProcessGroup</key>
  <true/>
  <key>ThrottleInterval</key>
  <integer>5</integer>
  <key>Umask</key>
  <integer>63</integer>
  <key>StandardErrorPath</key>
  <string>${xml(logFile)}</string>
</dict>
</plist>
`;
}

const xml = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

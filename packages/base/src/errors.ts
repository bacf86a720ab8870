/**
 * Every error of ours: message, hint, exit code (sysexits, see DESIGN.md "The command line") and
 * JSON-RPC code. Documentation, exit statuses and RPC answers are made from this table.
 *
 * Messages and hints are templates: `{name}` is replaced by the parameter of that name. A room or an agent in a
 * hint is part of a line that somebody types, and is quoted as a shell wants it.
 */
interface CatalogueEntry {
  message: string;
  hint: string;
  exit: number;
  /** JSON-RPC 2.0 error code; ours are in the application range, -32000 to -32099 and below. */
  rpc: number;
}

const catalogue = {
  // 64: the call was wrong
  MX_USAGE: { message: "{detail}", hint: "see `mx-agent help {command}`", exit: 64, rpc: -32602 },
  MX_HALF_TARGET: {
    message: "a remote target needs both --room and --agent; {missing} is missing",
    hint: "add --{missing}, or set default_{missing} in config.toml; nothing was run",
    exit: 64,
    rpc: -32010,
  },
  // 65: the data was wrong
  MX_BAD_INPUT: { message: "{detail}", hint: "{hint}", exit: 65, rpc: -32011 },
  // 69: somebody is not there
  MX_DAEMON_UNREACHABLE: {
    message: "the daemon does not answer at {socket}: {detail}",
    hint: "start it with `mx-agent daemon start`",
    exit: 69,
    rpc: -32020,
  },
  MX_DAEMON_SILENT: {
    message: "the daemon holds {socket} and has said nothing for {seconds} s",
    hint: "it is stopped or stuck: end the process that {notice} names, then `mx-agent daemon start`",
    exit: 69,
    rpc: -32027,
  },
  MX_SOCKET_FORBIDDEN: {
    message: "connecting to {socket} was forbidden by a sandbox around this process ({detail})",
    hint: "allow Unix sockets for this tool, or run mx-agent outside its sandbox; the daemon may be running all the same",
    exit: 69,
    rpc: -32021,
  },
  MX_HOMESERVER_UNREACHABLE: {
    message: "the homeserver {url} cannot be reached: {detail}",
    hint: "check the URL and the network; `mx-agent daemon status` shows the last error",
    exit: 69,
    rpc: -32022,
  },
  MX_NOT_A_HOMESERVER: {
    message: "{url} does not answer as a Matrix homeserver: {detail}",
    hint: "give the base URL of the homeserver, for example https://matrix.example.org",
    exit: 69,
    rpc: -32023,
  },
  MX_HOMESERVER_START: {
    message: "the embedded homeserver can't start: {detail}",
    hint: "`mx-agent homeserver status` shows what is running",
    exit: 69,
    rpc: -32026,
  },
  MX_HOMESERVER_ERROR: {
    message: "the homeserver refused: {errcode} {detail}",
    hint: "the homeserver decided this; ask its operator",
    exit: 69,
    rpc: -32024,
  },
  MX_REGISTRY_UNREACHABLE: {
    message: "the npm registry cannot be asked: {detail}",
    hint: "`npm config get registry` says which one it is, and `npm ping` whether it answers",
    exit: 69,
    rpc: -32028,
  },
  MX_NO_ANSWER: {
    message: "{agent} did not answer within {seconds} s",
    hint: "`mx-agent agent ping --room {room} --agent {agent}` tells whether it is there",
    exit: 69,
    rpc: -32025,
  },
  MX_FORGOTTEN: {
    message: "{agent} has no record of {invocation_id} any more: how it ended was not heard here",
    hint: "records are kept there for a week, or until `mx-agent invocation prune`; its operator's audit log has the end",
    exit: 69,
    rpc: -32033,
  },
  // 70: a bug in us
  MX_INTERNAL: {
    message: "a bug in mx-agent: {detail}",
    hint: "please report it with the daemon's log (`mx-agent daemon logs`)",
    exit: 70,
    rpc: -32603,
  },
  // 73/74: files and streams
  MX_CANNOT_WRITE: { message: "{path} cannot be written: {detail}", hint: "{hint}", exit: 74, rpc: -32030 },
  MX_STREAM_INCOMPLETE: {
    message: "the output of {invocation_id} is incomplete or damaged: {detail}",
    hint: "`mx-agent invocation show {invocation_id}` tells what is known of it",
    exit: 74,
    rpc: -32031,
  },
  // 76: protocol
  MX_PROTOCOL: { message: "{detail}", hint: "{hint}", exit: 76, rpc: -32040 },
  MX_VERSION_SKEW: {
    message: "{ours} speaks version {our_version} of its protocol, {theirs} speaks {their_version}",
    hint: "restart the older one: {restart}",
    exit: 76,
    rpc: -32041,
  },
  MX_FRAME_TOO_LARGE: {
    message: "a frame of {bytes} bytes is larger than the limit of {limit}",
    hint: "send less in one message",
    exit: 76,
    rpc: -32042,
  },
  // 77: refused
  MX_REFUSED: {
    message: "{agent} refused: {reason}{detail}",
    hint: "{hint}",
    exit: 77,
    rpc: -32050,
  },
  MX_ROLE: {
    message: "{method} is for the operator, and this is the agents' socket",
    hint: "the operator runs it on the machine of the daemon, outside of any command that mx-agent started",
    exit: 77,
    rpc: -32051,
  },
  MX_PEER_UID: {
    message: "uid {uid} may not use this daemon; it belongs to uid {owner}",
    hint: "run mx-agent as the user who owns the daemon",
    exit: 77,
    rpc: -32052,
  },
  MX_PEER_STARTED_HERE: {
    message: "process {pid} was started by mx-agent for somebody else; the operator's socket is closed to it",
    hint: "run this command yourself, outside of any command that mx-agent started",
    exit: 77,
    rpc: -32056,
  },
  MX_LOGIN_REFUSED: {
    message: "{url} refused the login of {user}: {detail}",
    hint: "check user name and password; `--register` makes a new account where the server allows it",
    exit: 77,
    rpc: -32053,
  },
  MX_UNTRUSTED: {
    message: "no key is approved for agent {agent} in {room}",
    hint: "compare fingerprints and run `mx-agent trust approve --room {room} {agent}` on this machine",
    exit: 77,
    rpc: -32054,
  },
  MX_INVITE_REFUSED: {
    message: "{agent} refused the invitation: {detail}",
    hint: "{hint}",
    exit: 77,
    rpc: -32057,
  },
  MX_PASSWORD_NEEDED: {
    message: "{url} wants to know that it is {user}: {detail}",
    hint: "give the account's password with --password-stdin or MX_AGENT_PASSWORD",
    exit: 77,
    rpc: -32058,
  },
  MX_NOT_VERIFIED: {
    message: "the verification came to no end: {detail}",
    hint: "nothing was verified; start again on one side, and `mx-agent device verify --accept` on the other",
    exit: 77,
    rpc: -32059,
  },
  MX_UNREADABLE: {
    message: "{user} could not read what is sent into {room}: {detail}",
    hint: "`mx-agent workspace keys --room {room}` shows who can; `mx-agent auth cross-signing bootstrap` on its machine signs its device",
    exit: 77,
    rpc: -32029,
  },
  MX_UNSIGNED_DEVICE: {
    message: "only signed devices take part in {room}, and this one is not signed",
    hint: "sign it with `mx-agent recovery recover` or `mx-agent auth cross-signing bootstrap`, or let all take part with `mx-agent workspace keys --to all --room {room}`",
    exit: 77,
    rpc: -32069,
  },
  MX_DECLINED: { message: "not confirmed; nothing was changed", hint: "", exit: 77, rpc: -32055 },
  // 78: configuration and platform
  MX_CONFIG: {
    message: "{file}: {detail}",
    hint: "correct the file; `mx-agent config show --origin` shows what is in force",
    exit: 78,
    rpc: -32060,
  },
  MX_INSECURE_PATH: {
    message: "{path} {detail}",
    hint: "only you may own and enter it: chown it to yourself and chmod it to {mode}",
    exit: 78,
    rpc: -32061,
  },
  MX_PLATFORM: {
    message: "{detail}",
    hint: "mx-agent runs on Linux and macOS, and on Windows inside WSL2",
    exit: 78,
    rpc: -32062,
  },
  MX_SOCKET_PATH: {
    message: "{socket} cannot be a socket: {detail}",
    hint: "set MX_AGENT_RUNTIME_DIR to a shorter path of your own",
    exit: 78,
    rpc: -32063,
  },
  MX_ALREADY_RUNNING: {
    message: "a daemon is running already (pid {pid})",
    hint: "`mx-agent daemon status` shows it, `mx-agent daemon restart` restarts it",
    exit: 78,
    rpc: -32064,
  },
  MX_STORE_NEWER: {
    message: "{file} was written by a newer mx-agent (format {found}, this one knows up to {known})",
    hint: "install mx-agent {version} or later; the file was not touched",
    exit: 78,
    rpc: -32065,
  },
  MX_STORE_DAMAGED: {
    message: "{file} is damaged: {detail}",
    hint: "{hint}",
    exit: 78,
    rpc: -32066,
  },
  MX_STORE_LOCKED: {
    message: "{file} is in use by another process",
    hint: "one daemon owns it at a time: `mx-agent daemon status` shows which one is running",
    exit: 78,
    rpc: -32067,
  },
  MX_STORE_MISSING: {
    message: "{file} is missing, and this device cannot read its messages without it",
    hint: "restore it from a backup made while the daemon was stopped, or log in again as a new device",
    exit: 78,
    rpc: -32068,
  },
  // 124 to 127: how the command could not end by itself
  MX_TIMED_OUT: {
    message: "{what} did not end within {seconds} s",
    hint: "--timeout gives it longer",
    exit: 124,
    rpc: -32070,
  },
  MX_SPAWN_FAILED: {
    message: "{command} could not be started on {agent}: {detail}",
    hint: "on the machine of {agent}, `mx-agent doctor` and `mx-agent daemon logs` say more",
    exit: 126,
    rpc: -32071,
  },
  MX_COMMAND_NOT_FOUND: {
    message: "{command} was not found on {agent}",
    hint: "on the machine of {agent}: look for it, and for the interpreter that a script names in its first line",
    exit: 127,
    rpc: -32072,
  },
  // 3: the answer to the question is no
  MX_NOT_RUNNING: { message: "{what} is not running", hint: "{hint}", exit: 3, rpc: -32080 },
  MX_NOT_LOGGED_IN: {
    message: "not logged in{detail}",
    hint: "`mx-agent auth login --homeserver URL --user NAME`",
    exit: 3,
    rpc: -32081,
  },
  MX_NOT_FOUND: { message: "no such {what}: {name}", hint: "{hint}", exit: 3, rpc: -32082 },
  MX_CANCELLED: { message: "cancelled", hint: "", exit: 130, rpc: -32083 },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;
export const errorCatalogue: Readonly<Record<ErrorCode, CatalogueEntry>> = catalogue;

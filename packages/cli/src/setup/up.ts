/**
 * `up`: each step looks first whether it is done, so that a call that was interrupted anywhere is gone on with
 * by the next, and one where nothing is left to do changes nothing.
 */
import { effectiveConfig, ensurePrivateDirs, failpoint, mxError } from "@mx-agent/base";
import type { WorkspaceInfo } from "@mx-agent/ipc";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { parseAddress } from "../parse/url.ts";
import { defaults, directories, isSetUp, policyFile } from "../places.ts";
import { question } from "../prompt.ts";
import { type AccountFlags, ensureAccount } from "./account.ts";
import { alone } from "./alone.ts";
import { ensureDefaultRoom } from "./defaults.ts";
import { ensureEmbedded } from "./embedded.ts";
import { createInvitation, type Invitation } from "./invitation.ts";
import { checkAgentName, ensureAgent, ensureDaemon, type RunningDaemon } from "./machine.ts";
import { doing } from "./progress.ts";
import { readRecord, remember } from "./record.ts";

export interface UpFlags extends AccountFlags {
  homeserver?: string;
  embedded?: boolean;
  bind?: string;
  url?: string;
  tunnel?: boolean;
  workspace: string;
  e2ee: boolean;
  agent?: string;
  cwd?: string;
  invite: boolean;
}

export interface UpResult {
  homeserver: { url: string; embedded: boolean; public_url: string | null };
  account: { user_id: string };
  daemon: { pid: number };
  workspace: { room_id: string; name: string | null; encrypted: boolean };
  agent: { agent_id: string; fingerprint: string };
  policy: { file: string };
  /** The open invitation; null where there is none, because it was used or because none was wanted. */
  invitation: Pick<Invitation, "invite_id" | "link" | "expires_at" | "uses"> | null;
  /** What this call did; empty where all of it was there. */
  changed: string[];
}

const INVITATION_MS = 24 * 3_600_000;

export async function setUp(cli: Cli, flags: UpFlags): Promise<UpResult> {
  checkAgentName(flags.agent);
  if (flags.workspace === "" || flags.workspace.length > 255)
    throw usage("--workspace: a name has 1 to 255 characters");
  ensurePrivateDirs(directories(cli.env));
  return alone(cli, () => eachStep(cli, flags));
}

async function eachStep(cli: Cli, flags: UpFlags): Promise<UpResult> {
  const changed: string[] = [];
  const note = (done: boolean, what: string) => {
    if (done) changed.push(what);
  };
  const choice = await chooseHomeserver(cli, flags);
  const embedded = choice.embedded ? await ensureEmbedded(cli, flags.bind) : undefined;
  note(embedded?.started === true, "homeserver");
  failpoint("up.after_homeserver");
  note(await publish(cli, flags, embedded?.url), "tunnel");
  const daemon = choice.daemon ?? (await ensureDaemon(cli));
  note(daemon.started, "daemon");
  const homeserver = embedded?.url ?? (choice.embedded ? null : choice.url);
  if (daemon.account === null) await doing(cli, "logging in");
  const account =
    daemon.account ??
    (await ensureAccount(cli, flags, {
      homeserver: homeserver ?? "",
      command: "up",
      registration_token: null,
      ...(embedded && { make: (user: string, password: string) => addUser(embedded.data, user, password) }),
    }));
  refuseOther(account, homeserver);
  note(daemon.account === null, "account");
  failpoint("up.after_account");
  const workspace = await ensureWorkspace(cli, flags, changed);
  const agent = await ensureAgent(cli, workspace.room_id, flags.agent ?? null, flags.cwd, "up");
  note(agent.registered, "agent");
  const { ensurePolicy } = await import("../policy/allow.ts");
  note(await ensurePolicy(cli.env, workspace.room_id), "policy");
  failpoint("up.after_policy");
  note(await ensureDefaultRoom(cli, workspace.room_id), "default_room");
  failpoint("up.after_config");
  const invitation = await ensureInvitation(cli, flags, workspace.room_id, changed);
  return {
    homeserver: {
      url: account.homeserver,
      embedded: embedded !== undefined,
      public_url: readRecord(cli.env).public_url ?? null,
    },
    account: { user_id: account.user_id },
    daemon: { pid: daemon.pid },
    workspace: { room_id: workspace.room_id, name: workspace.name, encrypted: workspace.encrypted },
    agent: { agent_id: agent.info.agent_id, fingerprint: agent.info.fingerprint },
    policy: { file: policyFile(cli.env) },
    invitation,
    changed,
  };
}

/** The homeserver, and the daemon where it had to be asked what it has. */
type Choice = { daemon?: RunningDaemon } & ({ embedded: true } | { embedded: false; url: string });

/** Flags first, then what was chosen before, then config.toml, then the person. */
async function chooseHomeserver(cli: Cli, flags: UpFlags): Promise<Choice> {
  if (flags.embedded && flags.homeserver !== undefined)
    throw usage("either --embedded or --homeserver, not both");
  if (flags.url !== undefined) parseAddress(flags.url, "--url");
  const record = readRecord(cli.env);
  if (flags.embedded) return { embedded: true };
  if (flags.bind !== undefined || flags.tunnel) throw usage("--bind and --tunnel are for --embedded");
  if (flags.homeserver !== undefined) return { embedded: false, url: flags.homeserver };
  if (record.embedded !== undefined) return { embedded: true };
  // Where one has run before, it may have an account; where none has, nothing is started before all is known.
  const daemon = isSetUp(cli.env) ? await ensureDaemon(cli) : undefined;
  const known = daemon && { daemon };
  if (daemon && daemon.account !== null) return { embedded: false, url: daemon.account.homeserver, daemon };
  const { values } = await effectiveConfig({ configDir: directories(cli.env).config, env: cli.env });
  if (values.homeserver !== null) return { embedded: false, url: values.homeserver, ...known };
  if (!cli.stdin.isTTY)
    throw usage("which homeserver? give --homeserver URL, or --embedded for one on this host");
  const url = await question(
    cli,
    "Homeserver (a URL or a server's name; empty: the embedded one, on this host): ",
  );
  return url === "" ? { embedded: true, ...known } : { embedded: false, url, ...known };
}

async function addUser(data: string, user: string, password: string): Promise<void> {
  const homeserver = await import("@mx-agent/homeserver");
  await homeserver.addUser(data, user, password);
}

/** What guests reach: said by --url, or a tunnel's; `true` where a tunnel was opened. */
async function publish(cli: Cli, flags: UpFlags, url: string | undefined): Promise<boolean> {
  if (flags.url !== undefined) {
    remember(cli.env, { public_url: parseAddress(flags.url, "--url") });
  }
  if (!flags.tunnel || url === undefined) return false;
  await doing(cli, "opening a tunnel");
  const { ensureTunnel } = await import("../background/tunnel.ts");
  const tunnel = await ensureTunnel(cli, url);
  return tunnel.started;
}

function refuseOther(
  account: { user_id: string; homeserver: string },
  wanted: string | null | undefined,
): void {
  if (wanted === null || wanted === undefined) return;
  const bare = (url: string) => url.replace(/^https?:\/\//, "").replace(/\/+$/, "");
  const server = account.user_id.slice(account.user_id.indexOf(":") + 1);
  if (bare(account.homeserver) === bare(wanted) || server === bare(wanted)) return;
  throw mxError("MX_USAGE", {
    detail: `this machine is logged in at ${account.homeserver} as ${account.user_id}, not at ${wanted}; nothing was changed there`,
    command: "auth logout",
  });
}

/** The room of config.toml, else one of that name, else a new one. */
async function ensureWorkspace(cli: Cli, flags: UpFlags, changed: string[]): Promise<WorkspaceInfo> {
  const joined = (await ask(cli, "workspace.list", {})).filter(({ membership }) => membership === "join");
  const { room } = await defaults(cli.env);
  const there =
    joined.find(({ room_id, alias }) => room_id === room || alias === room) ??
    joined.find(({ name }) => name === (room ?? flags.workspace));
  if (there) return there;
  await doing(cli, `making the workspace ${flags.workspace}`);
  const made = await ask(cli, "workspace.create", {
    name: flags.workspace,
    alias: null,
    invite: [],
    encrypted: flags.e2ee,
  });
  changed.push("workspace");
  failpoint("up.after_workspace");
  return made;
}

/** The first call makes one. Later ones show it as long as it is open; whether there are to be more is for the operator. */
async function ensureInvitation(
  cli: Cli,
  flags: UpFlags,
  room: string,
  changed: string[],
): Promise<UpResult["invitation"]> {
  const known = await ask(cli, "invite.list", { room });
  const open = known.find(({ state }) => state === "open");
  if (open) return ask(cli, "invite.show", { invite_id: open.invite_id });
  if (!flags.invite || known.length > 0) return null;
  const made = await createInvitation(cli, { room, role: "agent", uses: 1, expires_ms: INVITATION_MS });
  changed.push("invitation");
  failpoint("up.after_invitation");
  return made;
}

const usage = (detail: string) => mxError("MX_USAGE", { detail, command: "up" });

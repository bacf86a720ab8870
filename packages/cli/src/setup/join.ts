/** `join`: this machine, set up with a link; as `up`, each step looks first whether it is done. */
import { hostname } from "node:os";
import { resolve } from "node:path";
import { ensurePrivateDirs, failpoint, MxError, mxError } from "@mx-agent/base";
import type { InvitedInfo } from "@mx-agent/ipc";
import type { Allowance } from "@mx-agent/policy";
import { defaultAgentId, type InviteLink, readInviteLink } from "@mx-agent/protocol/core";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { directories, policyFile } from "../places.ts";
import { type AccountFlags, ensureAccount } from "./account.ts";
import { alone } from "./alone.ts";
import { ensureDefaultRoom } from "./defaults.ts";
import { agentsHere, checkAgentName, ensureAgent, ensureDaemon } from "./machine.ts";
import { doing } from "./progress.ts";

export interface JoinFlags extends AccountFlags {
  homeserver?: string;
  agent?: string;
  cwd?: string;
  e2ee: boolean;
  /** Milliseconds. */
  wait: number;
  allowCommands?: string[];
}

export interface JoinResult {
  homeserver: string;
  account: { user_id: string };
  workspace: { room_id: string; name: string; encrypted: boolean };
  /** null for a guest who is no agent. */
  agent: { agent_id: string; fingerprint: string } | null;
  inviter: InvitedInfo["inviter"];
  policy: { file: string; allowed: { commands: string[]; cwd: string } | null };
  changed: string[];
}

/** The link as it was pasted. MX_BAD_INPUT says what is wrong with it, MX_INVITE_REFUSED that it is over. */
export function linkOf(pasted: string): InviteLink {
  const read = readInviteLink(pasted);
  if (!read.ok)
    throw mxError("MX_BAD_INPUT", {
      detail: `${problems[read.problem]}: ${read.detail}`,
      hint: hints[read.problem],
    });
  const { link } = read;
  if (Date.parse(link.expires_at) > Date.now()) return link;
  throw mxError(
    "MX_INVITE_REFUSED",
    { agent: link.agent_id, reason: "expired", detail: `it expired at ${link.expires_at}` },
    { hint: `ask for another link; on ${link.agent_id}'s machine: \`mx-agent invite create\`` },
  );
}

const problems = {
  no_link: "this is no invitation link",
  cut_off: "the link is cut off",
  too_long: "there is more than the link",
  changed: "the link was changed",
  newer: "the link is of a later mx-agent",
} as const;

const hints = {
  no_link: "copy the whole line that `mx-agent up` or `mx-agent invite create` printed on the other machine",
  cut_off:
    "a line break ends it in a shell: put it in quotes, or type `mx-agent join -`, paste it, and press Ctrl-D",
  too_long: "copy the link alone, or ask for another one",
  changed: "copy it again, or ask for another one; nothing was done",
  newer: "install the version that the other machine has",
} as const;

export async function joinWith(cli: Cli, flags: JoinFlags, pasted: string): Promise<JoinResult> {
  checkAgentName(flags.agent);
  const link = linkOf(pasted);
  if (!link.encrypted && flags.e2ee)
    throw mxError("MX_BAD_INPUT", {
      detail: `${link.room_name || link.room_id} is not encrypted; it was not joined`,
      hint: "join it all the same with --no-e2ee",
    });
  ensurePrivateDirs(directories(cli.env));
  return alone(cli, () => eachStep(cli, flags, pasted, link));
}

async function eachStep(cli: Cli, flags: JoinFlags, pasted: string, link: InviteLink): Promise<JoinResult> {
  // Before anything is done: a rule that cannot be written would leave a machine half set up.
  const rule = ruleOf(flags, link);
  if (rule) {
    const { planAllowance } = await import("../policy/allow.ts");
    await planAllowance(cli, rule);
  }
  const changed: string[] = [];
  const daemon = await ensureDaemon(cli);
  if (daemon.started) changed.push("daemon");
  const account = daemon.account ?? (await accountFor(cli, flags, link));
  if (daemon.account === null) changed.push("account");
  failpoint("join.after_account");
  await doing(cli, `asking ${link.agent_id} to let this machine in`);
  const invited = await redeem(cli, flags, pasted, account.user_id);
  if (invited.changed) changed.push("workspace", "trust");
  failpoint("join.after_redeem");
  const { room_id } = invited;
  const agent =
    invited.role === "agent" ? await ensureAgent(cli, room_id, invited.agent_id, flags.cwd, "join") : null;
  if (agent?.registered) changed.push("agent");
  if (await ensureDefaultRoom(cli, room_id)) changed.push("default_room");
  const allowed = await ensureRules(cli, room_id, rule, changed);
  return {
    homeserver: account.homeserver,
    account: { user_id: account.user_id },
    workspace: { room_id, name: link.room_name, encrypted: link.encrypted },
    agent: agent && { agent_id: agent.info.agent_id, fingerprint: agent.info.fingerprint },
    inviter: invited.inviter,
    policy: { file: policyFile(cli.env), allowed },
    changed,
  };
}

async function accountFor(cli: Cli, flags: JoinFlags, link: InviteLink) {
  const homeserver = flags.homeserver ?? link.homeserver;
  await doing(cli, `logging in at ${homeserver}`);
  const usesToken = homeserver === link.homeserver && !flags.passwordStdin;
  const registration_token = usesToken || flags.register ? link.registration_token : null;
  try {
    return await ensureAccount(cli, flags, { homeserver, command: "join", registration_token });
  } catch (error) {
    throw registration_token !== null && !flags.registrationTokenStdin ? usedUp(error, link) : error;
  }
}

/** A homeserver says of the token in a link what it says of any; its guest has to hear what that means. */
function usedUp(error: unknown, { agent_id }: InviteLink): unknown {
  if (!(error instanceof MxError) || error.code !== "MX_LOGIN_REFUSED") return error;
  if (error.details.errcode === "M_USER_IN_USE") return error;
  const hint = `the link may have been used or revoked: ask for another one; on ${agent_id}'s machine: \`mx-agent invite create\``;
  return new MxError({ ...error.toJSON(), hint }, error);
}

/** A name that nobody chose gives way to that of the account, which is the only one of its kind. */
async function redeem(cli: Cli, flags: JoinFlags, link: string, user_id: string): Promise<InvitedInfo> {
  const { room_id } = linkOf(link);
  const mine = (await agentsHere(cli, null)).find((one) => one.room_id === room_id);
  const as = (agent: string) =>
    ask(cli, "invite.redeem", { link, agent, encrypted: flags.e2ee, wait_ms: flags.wait });
  try {
    return await as(flags.agent ?? mine?.agent_id ?? defaultAgentId(hostname()));
  } catch (error) {
    const taken = error instanceof MxError && error.details.reason === "name_taken";
    if (!taken || flags.agent !== undefined) throw error;
    return as(user_id.slice(1, user_id.indexOf(":")));
  }
}

/** What the operator of this machine allows the inviter, in the same breath. */
function ruleOf({ allowCommands: commands, cwd }: JoinFlags, link: InviteLink): Allowance | undefined {
  if (commands === undefined || cwd === undefined) return undefined;
  return { room: link.room_id, user: link.user_id, commands, cwd: [resolve(cwd)] };
}

async function ensureRules(
  cli: Cli,
  room_id: string,
  rule: Allowance | undefined,
  changed: string[],
): Promise<JoinResult["policy"]["allowed"]> {
  const { ensurePolicy, planAllowance, writePolicy } = await import("../policy/allow.ts");
  const written = await ensurePolicy(cli.env, room_id);
  const change = rule && (await planAllowance(cli, rule));
  if (change && change.diff !== "") writePolicy(cli.env, change);
  if (written || (change && change.diff !== "")) changed.push("policy");
  if (!rule) return null;
  await ask(cli, "daemon.reload", {});
  return { commands: rule.commands, cwd: rule.cwd.join(", ") };
}

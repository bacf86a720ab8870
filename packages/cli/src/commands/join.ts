import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag, note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { parseDuration } from "../parse/duration.ts";
import { commaList } from "../parse/list.ts";
import { confirm, readLines } from "../prompt.ts";
import { renderLink } from "../render/invite.ts";
import { visible } from "../render/style.ts";
import { pairs } from "../render/table.ts";
import { allowLines } from "../render/up.ts";
import { explained } from "../setup/explained.ts";
import { type JoinFlags, type JoinResult, joinWith, linkOf } from "../setup/join.ts";
import { type Define, describe } from "../verb.ts";

type Flags = JoinFlags & JsonFlag & { yes?: boolean };

export const define: Define = (command, cli) => {
  describe(command, {
    summary: "set this machine up with a link from another one's `up`",
    example: "join LINK --allow-commands git,ls --cwd ~/project",
    more:
      "Shows what the link says, and asks. Then it starts the daemon, logs in or makes an account, proves to\n" +
      "the inviter's daemon that it has the link, joins, approves the inviter's key as the inviter approves\n" +
      "this machine's, and registers an agent. It allows nobody to run anything, unless you say what.\n" +
      "\n" +
      "`join -` reads the link from stdin: it is a secret, which other users of this machine could see in a\n" +
      "list of processes, and there a line break does no harm. The inviter's daemon has to run. A link that\n" +
      "was used by this machine can be used by it again, after an interruption for example.",
  })
    .argument("<link...>", "what the other machine's `up` or `invite create` printed; - reads it from stdin")
    .option("--yes", "do not ask")
    .option("--homeserver <url>", "an account elsewhere, on a server that federates with the link's")
    .option("--user <name>", "the account; by default the machine's name where the link lets one be made")
    .option("--password-stdin", "read its password from stdin: the account is there")
    .option("--register", "make the account on that homeserver")
    .option("--registration-token-stdin", "read the homeserver's registration token from stdin")
    .option("--sso", "log in with a browser, as `auth login --sso` does")
    .option("--agent <agent>", "this machine's name in the workspace; by default its host name")
    .option("--cwd <directory>", "the project that it works on, and where the inviter may run commands")
    .option("--allow-commands <names>", "let the inviter run these in --cwd; separated by commas", commaList)
    .option(
      "--wait <duration>",
      "how long the inviter's daemon may take to answer",
      (text: string) => parseDuration(text, "--wait"),
      30_000,
    )
    .option("--no-e2ee", "accept a workspace that the homeserver can read")
    .action((words: string[], flags: Flags) => join(cli, words, flags));
};

async function join(cli: Cli, words: string[], flags: Flags): Promise<void> {
  if (flags.allowCommands !== undefined && flags.cwd === undefined)
    throw usage("--allow-commands: where? give --cwd DIRECTORY, too");
  const fromStdin = words.length === 1 && words[0] === "-";
  if (fromStdin && (flags.passwordStdin || flags.registrationTokenStdin))
    throw usage("stdin holds the link; give the password by MX_AGENT_PASSWORD");
  const pasted = fromStdin ? (await readLines(cli)).join("") : words.join("");
  const link = linkOf(pasted);
  if (!flags.yes) {
    await note(cli, renderLink(link));
    if (flags.allowCommands !== undefined)
      await note(
        cli,
        `${visible(link.user_id)} may then run here, in ${flags.cwd}: ${flags.allowCommands.join(", ")}`,
      );
    if (!cli.stdin.isTTY || fromStdin) throw usage("no terminal to ask whether to join; give --yes");
    if (!(await confirm(cli, "Join?"))) throw mxError("MX_DECLINED");
  }
  const result = await explained(cli, joinWith(cli, flags, pasted));
  await answer(cli, flags, result, render);
}

function render(result: JoinResult): string {
  const { workspace, account, agent, inviter, policy, changed } = result;
  const shown = pairs([
    ["joined", `${workspace.name} ${workspace.room_id}${workspace.encrypted ? ", encrypted" : ""}`],
    ["account", account.user_id],
    ["homeserver", result.homeserver],
    ["agent", agent?.agent_id ?? null],
    ["fingerprint", agent?.fingerprint ?? null],
    ["approved here", `${inviter.agent_id} of ${inviter.user_id}, ${inviter.fingerprint}`],
    ["may run here", policy.allowed && `${policy.allowed.commands.join(", ")} in ${policy.allowed.cwd}`],
    ["done now", changed.length === 0 ? "nothing: all of it was there" : changed.join(", ")],
  ]);
  const { allowed } = policy;
  return [shown, ...(allowed === null && agent !== null ? allowLines(inviter.agent_id) : [])].join("\n");
}

const usage = (detail: string) => mxError("MX_USAGE", { detail, command: "join" });

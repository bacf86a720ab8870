import { resolve } from "node:path";
import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag, note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { commaList } from "../parse/list.ts";
import { ROOM } from "../parse/options.ts";
import { roomOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { confirm } from "../prompt.ts";
import { type Define, verb } from "../verb.ts";

interface AllowFlags extends JsonFlag {
  room?: string;
  commands: string[];
  cwd: string[];
  yes?: boolean;
}

export const definePolicyAllow: Define = (noun, cli) => {
  verb(noun, {
    name: "allow <agent>",
    summary: "let an agent run commands here, by a rule in the policy",
    example: "policy allow laptop --commands git,npm --cwd ~/project",
    more:
      "Shows the lines that change, and asks. Everything else in the file stays, comments too. AGENT is an\n" +
      "agent whose key is approved here, a user as @ci:example.org, group:NAME, or * for every approved key.",
  })
    .option(...ROOM)
    .requiredOption("--commands <names>", "separated by commas; may be given several times", commaList)
    .requiredOption("--cwd <directories>", "where they may run, and below", commaList)
    .option("--yes", "do not ask")
    .action((agent: string, flags: AllowFlags) => allow(cli, agent, flags));
};

async function allow(cli: Cli, agent: string, flags: AllowFlags): Promise<void> {
  const { planAllowance, writePolicy } = await import("../policy/allow.ts");
  const { room_id, user } = await whom(cli, agent, flags);
  const change = await planAllowance(cli, {
    room: room_id,
    user,
    commands: flags.commands,
    cwd: flags.cwd.map((directory) => resolve(directory)),
  });
  if (change.diff !== "") {
    await note(cli, change.diff.trimEnd());
    for (const warning of change.warnings) await note(cli, `warning: ${warning}`);
    if (!flags.yes) await agreed(cli);
    writePolicy(cli.env, change);
  }
  const { file, diff, warnings } = change;
  await answer(cli, flags, { file, room_id, user, changed: diff !== "", diff, warnings }, () =>
    diff === "" ? `${file} allows that already` : `${file}: ${user} may run ${flags.commands.join(", ")}`,
  );
}

async function agreed(cli: Cli): Promise<void> {
  if (!cli.stdin.isTTY)
    throw mxError("MX_USAGE", {
      detail: "no terminal to ask whether to write that; give --yes",
      command: "policy allow",
    });
  if (!(await confirm(cli, "Write that?"))) throw mxError("MX_DECLINED");
}

/** The room's id, and the user, group or `*` that the policy is to name. */
async function whom(cli: Cli, agent: string, flags: AllowFlags): Promise<{ room_id: string; user: string }> {
  const room = roomOf(flags, await defaults(cli.env));
  const named = agent === "*" || agent.startsWith("@") || agent.startsWith("group:");
  if (named && room.startsWith("!")) return { room_id: room, user: agent };
  const { workspace } = await ask(cli, "workspace.status", { room, watch: false });
  if (named) return { room_id: workspace.room_id, user: agent };
  const approved = (await ask(cli, "trust.list", { room })).find(
    (entry) => entry.agent_id === agent && entry.status === "trusted",
  );
  if (!approved) throw mxError("MX_UNTRUSTED", { agent, room: workspace.name ?? workspace.room_id });
  return { room_id: workspace.room_id, user: approved.user_id };
}

import { mxError } from "@mx-agent/base";
import type { Result, TrustEntry } from "@mx-agent/ipc";
import { answer, type JsonFlag, note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { parseDuration } from "../parse/duration.ts";
import { ROOM } from "../parse/options.ts";
import { targetOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { confirm } from "../prompt.ts";
import { visible } from "../render/style.ts";
import { pairs } from "../render/table.ts";
import { renderRotation, renderStillMember, renderTrustEntries, renderTrustEntry } from "../render/trust.ts";
import { type Define, verb } from "../verb.ts";

interface ApproveFlags extends JsonFlag {
  room?: string;
  fingerprint?: string;
  expires?: string;
  legacy?: boolean;
  deviceFingerprint?: string;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "fingerprint",
    summary: "the fingerprint of this machine's signing key, for others to compare",
    example: "trust fingerprint",
  }).action(async (flags: JsonFlag) => {
    const own = await ask(cli, "trust.fingerprint", {});
    await answer(cli, flags, own, ({ fingerprint }) => fingerprint);
  });

  verb(noun, {
    name: "list",
    summary: "keys that are or were approved on this machine",
    example: "trust list",
  })
    .option("--room <room>", "for this workspace alone")
    .action(async (flags: JsonFlag & { room?: string }) =>
      answer(cli, flags, await ask(cli, "trust.list", { room: flags.room ?? null }), renderTrustEntries),
    );

  verb(noun, {
    name: "approve [agent]",
    summary: "let an agent's signature count on this machine, in one workspace",
    example: "trust approve laptop --room build-farm",
    more:
      "Shows the fingerprint and asks. Compare it with what `mx-agent trust fingerprint` shows on the\n" +
      "other machine, over a way that the homeserver has no hand in. Scripts give it with --fingerprint.\n" +
      "What the agent may do is the policy's to say.",
  })
    .option(...ROOM)
    .option("--fingerprint <fingerprint>", "approve this one without asking, and no other")
    .option("--expires <duration>", "for how long, as 12h or 30d; by default until it is revoked")
    .option(
      "--device-fingerprint <fingerprint>",
      "verify its device as well, which shows this one in `device show`",
    )
    .option("--legacy", "take signatures without binding, of daemons of the first protocol")
    .action((agent: string | undefined, flags: ApproveFlags) => approve(cli, agent, flags));

  verb(noun, {
    name: "rotate",
    summary: "give this machine a new signing key: announce it, and later put it to use",
    example: "trust rotate",
    more:
      "The new key is announced under the old one, which goes on signing. On the machines that approved the\n" +
      "old key, `mx-agent agent show` shows it and `mx-agent trust approve` approves it; both keys count there\n" +
      "until the new one is used. When they have: `mx-agent trust rotate --finish`.\n" +
      "A key that somebody else may have is not to be rotated but revoked there: mx-agent trust revoke.",
  })
    .option("--finish", "sign with the announced key from now on, and destroy the old one")
    .option("--abandon", "give the announced key up")
    .option("--force", "finish although runs are under way, which lose their results")
    .action(async (flags: JsonFlag & { finish?: boolean; abandon?: boolean; force?: boolean }) => {
      if (flags.finish === true && flags.abandon === true)
        throw mxError("MX_USAGE", { detail: "either --finish or --abandon", command: "trust rotate" });
      const step = flags.finish ? "finish" : flags.abandon ? "abandon" : "announce";
      const done = await ask(cli, "trust.rotate", { step, force: flags.force === true });
      await answer(cli, flags, done, renderRotation);
    });

  verb(noun, {
    name: "revoke [agent]",
    summary: "end an approval; what runs for that key is ended, too",
    example: "trust revoke laptop --room build-farm",
  })
    .option("--room <room>", "in this workspace alone")
    .option("--fingerprint <fingerprint>", "of this key, whatever its agents are called")
    .action(async (agent: string | undefined, flags: JsonFlag & { room?: string; fingerprint?: string }) => {
      if (agent === undefined && flags.fingerprint === undefined)
        throw mxError("MX_USAGE", {
          detail: "whose? name an agent or a --fingerprint",
          command: "trust revoke",
        });
      const done = await ask(cli, "trust.revoke", {
        room: flags.room ?? null,
        agent: agent ?? null,
        fingerprint: flags.fingerprint ?? null,
      });
      await answer(cli, flags, done, ({ revoked }, columns) => renderTrustEntries(revoked, columns));
      if (!flags.json) for (const member of done.still_members) await note(cli, renderStillMember(member));
    });
};

async function approve(cli: Cli, name: string | undefined, flags: ApproveFlags): Promise<void> {
  const target = targetOf({ room: flags.room, agent: name }, await defaults(cli.env));
  const expires_ms = flags.expires === undefined ? null : parseDuration(flags.expires, "--expires");
  const { fingerprint, device = flags.deviceFingerprint } =
    flags.fingerprint === undefined ? await compareAndAsk(cli, target) : { fingerprint: flags.fingerprint };
  const entry: TrustEntry = await ask(cli, "trust.approve", {
    ...target,
    fingerprint,
    expires_at: expires_ms === null ? null : new Date(Date.now() + expires_ms).toISOString(),
    legacy: flags.legacy === true,
    ...(device !== undefined && { device_fingerprint: device }),
  });
  await answer(cli, flags, entry, renderTrustEntry);
}

/** Shows what the room says about the agent; the fingerprints that the person agreed to. */
async function compareAndAsk(
  cli: Cli,
  target: { room: string; agent: string },
): Promise<{ fingerprint: string; device?: string }> {
  const found = await ask(cli, "trust.inspect", target);
  await note(cli, inspection(found));
  if (!cli.stdin.isTTY)
    throw mxError("MX_USAGE", {
      detail: "no terminal to ask: compare the fingerprint and give it with --fingerprint",
      command: "trust approve",
    });
  if (!(await confirm(cli, "Is this what `mx-agent trust fingerprint` shows on its machine?")))
    throw mxError("MX_DECLINED");
  const fingerprint = candidateOf(found.agent);
  const { device } = found;
  if (device === null || device.verified) return { fingerprint };
  await note(cli, pairs([[`device ${device.device_id}`, device.fingerprint]]));
  const same = await confirm(
    cli,
    "And is this what `mx-agent device show` shows there? A no approves the key alone.",
  );
  return { fingerprint, ...(same && { device: device.fingerprint }) };
}

/** What is to be approved: the key that the agent announced, where it has not been yet; else the one that it shows. */
function candidateOf({ announced, fingerprint }: Result<"trust.inspect">["agent"]): string {
  return announced && !announced.approved ? announced.fingerprint : fingerprint;
}

function inspection({ agent, approved }: Result<"trust.inspect">): string {
  const shown = pairs([
    ["agent", agent.agent_id],
    ["user", agent.user_id],
    ["room", agent.room_id],
    ["fingerprint", candidateOf(agent)],
    ["approved now", approved === null ? "nothing" : approved.fingerprint],
  ]);
  const changed =
    approved !== null && approved.fingerprint !== candidateOf(agent)
      ? ["warning: this is another key than the one that is approved now"]
      : [];
  return [shown, ...changed, ...agent.warnings.map((one) => `warning: ${visible(one)}`)].join("\n");
}

import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag, note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { parseCount } from "../parse/count.ts";
import { parseDuration } from "../parse/duration.ts";
import { ROOM } from "../parse/options.ts";
import { roomOf } from "../parse/target.ts";
import { parseAddress } from "../parse/url.ts";
import { defaults } from "../places.ts";
import { readLines } from "../prompt.ts";
import { joinLine, renderInvites } from "../render/invite.ts";
import { createInvitation, isLocal, revokeInvitation } from "../setup/invitation.ts";
import { type Define, verb } from "../verb.ts";

const MOST_MS = 30 * 24 * 3_600_000;

interface CreateFlags extends JsonFlag {
  room?: string;
  uses: string;
  expires: string;
  role: string;
  homeserver?: string;
  registrationTokenStdin?: boolean;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "create",
    summary: "make a link that lets another machine into a workspace",
    example: "invite create --uses 1 --expires 24h",
    more:
      "The link holds a secret: send it by a way that you trust. Whoever uses it first is let in, and both\n" +
      "machines approve each other's key; what may run is still each machine's policy to say. With the\n" +
      "embedded homeserver of `up` it lets its user make an account, too.",
  })
    .option(...ROOM)
    .option("--uses <count>", "how many machines may use it", "1")
    .option("--expires <duration>", "for how long, as 1h or 7d; at most 30d", "24h")
    .option(
      "--role <role>",
      "agent: may register an agent, and keys are approved; member: may be there",
      "agent",
    )
    .option(
      "--homeserver <url>",
      "the address that guests are to use, where it is another than this machine's",
    )
    .option(
      "--registration-token-stdin",
      "read a registration token of the homeserver, for the guest's account",
    )
    .action((flags: CreateFlags) => create(cli, flags));

  verb(noun, {
    name: "list",
    summary: "invitations of this machine, and who used them",
    example: "invite list",
  })
    .option("--room <room>", "to this workspace alone")
    .action(async (flags: JsonFlag & { room?: string }) =>
      answer(cli, flags, await ask(cli, "invite.list", { room: flags.room ?? null }), renderInvites),
    );

  verb(noun, {
    name: "show <invitation>",
    summary: "the link of an invitation once more",
    example: "invite show 3uVq0gJwAkqkqPzY1pXbZw",
  }).action(async (invite_id: string, flags: JsonFlag) =>
    answer(cli, flags, await ask(cli, "invite.show", { invite_id }), ({ link }) => link),
  );

  verb(noun, {
    name: "revoke <invitation>",
    summary: "end an invitation; who used it before stays",
    example: "invite revoke 3uVq0gJwAkqkqPzY1pXbZw",
    more: "`mx-agent trust revoke` ends what a machine that has joined may do here.",
  }).action(async (invite_id: string, flags: JsonFlag) => {
    const revoked = await revokeInvitation(cli, invite_id);
    await answer(
      cli,
      flags,
      revoked,
      () => `${revoked.invite_id} is revoked (${revoked.used} used it before)`,
    );
  });
};

async function create(cli: Cli, flags: CreateFlags): Promise<void> {
  if (flags.role !== "agent" && flags.role !== "member")
    throw usage(`--role ${flags.role}: it can be agent or member`);
  const homeserver =
    flags.homeserver === undefined ? undefined : parseAddress(flags.homeserver, "--homeserver");
  const uses = parseCount(flags.uses, "--uses", 1);
  const expires_ms = parseDuration(flags.expires, "--expires");
  if (expires_ms > MOST_MS) throw usage(`--expires ${flags.expires}: at most 30d`);
  const token = flags.registrationTokenStdin ? (await readLines(cli))[0] : undefined;
  const made = await createInvitation(cli, {
    room: roomOf(flags, await defaults(cli.env)),
    role: flags.role,
    uses,
    expires_ms,
    homeserver,
    registration_token: token,
  });
  await answer(cli, flags, made, ({ link }) => link);
  if (flags.json) return;
  await note(cli, `\nOn the other machine, until ${made.expires_at}:\n${joinLine("LINK")}`);
  await note(cli, await warning(cli, homeserver));
}

async function warning(cli: Cli, given: string | undefined): Promise<string> {
  const { account } = await ask(cli, "auth.status", {});
  const { readRecord } = await import("../setup/record.ts");
  const url = given ?? readRecord(cli.env).public_url ?? account?.homeserver ?? "";
  return isLocal(url)
    ? `It names ${url}, which this host alone reaches; --homeserver names another address.`
    : "It holds a secret: send it by a way that you trust.";
}

const usage = (detail: string) => mxError("MX_USAGE", { detail, command: "invite create" });

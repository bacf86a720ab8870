import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { compare } from "../device/compare.ts";
import { renderDevice, renderDevices } from "../render/device.ts";
import { type Define, verb } from "../verb.ts";

interface VerifyFlags extends JsonFlag {
  fingerprint?: string;
  accept?: boolean;
  room?: string;
  answerStdin?: boolean;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "list",
    summary: "devices of this account, or of others, and who asks to verify this one",
    example: "device list --room build-farm",
  })
    .option("--user <user>", "of this user")
    .option("--room <room>", "of everybody in this workspace")
    .action(async (flags: JsonFlag & { user?: string; room?: string }) => {
      const found = await ask(cli, "device.list", { user: flags.user ?? null, room: flags.room ?? null });
      await answer(cli, flags, found, renderDevices);
    });

  verb(noun, {
    name: "show [user] [device]",
    summary: "one device with its fingerprint; without a user, this one",
    example: "device show @bob:example.org",
  }).action(async (user: string | undefined, device: string | undefined, flags: JsonFlag) => {
    const found = await ask(cli, "device.show", { user: user ?? null, device: device ?? null });
    await answer(cli, flags, found, renderDevice);
  });

  verb(noun, {
    name: "verify [user] [device]",
    summary: "make sure that a device belongs to whom you think",
    example: "device verify @bob:example.org BOBSDEVICE",
    more:
      "Both sides see the same symbols and numbers, and a person at each says so within five minutes. On the\n" +
      "other machine somebody runs `mx-agent device verify --accept`, or accepts in another Matrix client.\n" +
      "With --fingerprint nobody has to be there: it is what `mx-agent device show` shows on the other\n" +
      "machine, compared over a way that the homeserver has no hand in.\n" +
      "With --room the user is asked in a room that both are in, as people's clients do for each other: whichever\n" +
      "of their devices accepts is verified, and their identity where this account has one.",
  })
    .option("--fingerprint <fingerprint>", "verify by this fingerprint, without the other side")
    .option("--accept", "wait for the other side, and accept what it began")
    .option("--room <room>", "ask the user there, instead of one of their devices")
    .option("--answer-stdin", "without a terminal: read the answer, yes or no, from stdin")
    .action((user: string | undefined, device: string | undefined, flags: VerifyFlags) =>
      verify(cli, user ?? null, device ?? null, flags),
    );

  verb(noun, {
    name: "unverify <user> [device]",
    summary: "take back a verification by fingerprint or comparison",
    example: "device unverify @bob:example.org BOBSDEVICE",
  }).action(async (user: string, device: string | undefined, flags: JsonFlag) => {
    const done = await ask(cli, "device.unverify", { user, device: device ?? null });
    await answer(cli, flags, done, renderDevice);
  });
};

async function verify(
  cli: Cli,
  user: string | null,
  device: string | null,
  flags: VerifyFlags,
): Promise<void> {
  if (user === null && !flags.accept)
    throw usage("whose device? name a user, or --accept what another side began");
  if (flags.fingerprint !== undefined) {
    if (user === null || flags.accept) throw usage("--fingerprint needs a user, and nothing to be accepted");
    const done = await ask(cli, "device.verify", { user, device, fingerprint: flags.fingerprint });
    await answer(cli, flags, done, renderDevice);
    return;
  }
  if (flags.room !== undefined && (user === null || device !== null || flags.accept))
    throw usage("--room needs a user, no device, and nothing to be accepted");
  if (!flags.answerStdin && !cli.stdin.isTTY)
    throw usage("no terminal to compare at: use --fingerprint, or --answer-stdin");
  const where = flags.room === undefined ? {} : { room: flags.room };
  const done = await compare(cli, { user, device, accept: flags.accept === true, ...where }, flags);
  await answer(cli, flags, done, renderDevice);
}

const usage = (detail: string) => mxError("MX_USAGE", { detail, command: "device verify" });

/** `up --tunnel`, with a stand-in that prints an address as cloudflared does; Cloudflare itself is not asked. */
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readInviteLink } from "@mx-agent/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { isAlive } from "../../src/background/alive.ts";
import { bareMachine, type Machine } from "../support/machine.ts";
import { failure, type Up } from "../support/set-up.ts";

const ADDRESS = "https://quiet-plum-orchard.trycloudflare.com";
const up = ["up", "--embedded", "--bind", "127.0.0.1:0", "--tunnel"];

let machine: Machine;
beforeEach(async () => {
  machine = await bareMachine("laptop");
});
afterEach(() => machine.close());

test("guests get the tunnel's address; it is opened once, and closed by `down`", async () => {
  const bin = join(machine.home, "bin");
  await mkdir(bin);
  const program = join(bin, "cloudflared");
  const says = `echo "$$ $*" >> '${bin}/calls'; echo "INF |  ${ADDRESS}  |" >&2; sleep 600`;
  await writeFile(program, `#!/bin/sh\n${says}\n`);
  await chmod(program, 0o755);
  const env = { PATH: `${bin}:${machine.env.PATH}` };
  const first = await machine.ask<Up>(up, { env });
  expect(first.homeserver).toMatchObject({ public_url: ADDRESS });
  expect(first.changed).toContain("tunnel");
  const read = readInviteLink(first.invitation?.link ?? "");
  expect(read).toMatchObject({ link: { homeserver: ADDRESS, registration_token: expect.any(String) } });
  expect((await machine.ask<Up>(up, { env })).changed).toEqual([]);
  const calls = (await readFile(join(bin, "calls"), "utf8")).trim().split("\n");
  expect(calls).toEqual([expect.stringMatching(/^\d+ tunnel .*--url http:\/\/127\.0\.0\.1:\d+$/)]);
  expect(await machine.ask(["down"])).toMatchObject({ tunnel: true, homeserver: true });
  await eventually(async () => !isAlive(Number.parseInt(calls[0] ?? "", 10)));
});

test("where cloudflared is not installed, that is said, with the other way", async () => {
  const env = { PATH: join(machine.home, "nowhere") };
  expect(await failure(machine, up, { env })).toMatchObject({
    ...{ exit: 3, code: "MX_NOT_FOUND", hint: expect.stringContaining("--url") },
    message: expect.stringContaining("not installed"),
  });
});

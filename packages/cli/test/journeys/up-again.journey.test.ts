/** `up` and `join`, ended by SIGKILL after each step and typed again; and typed again when all is done. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { readInviteLink } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chosenKind, startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { bareMachine, closeAll, type Machine } from "../support/machine.ts";
import { invite, type Joined, joinFlags, type Up, upFlags } from "../support/set-up.ts";

let homeserver: TestHomeserver | undefined;
let laptop: Machine;
let builder: Machine;
beforeAll(async () => {
  homeserver = chosenKind() === "embedded" ? undefined : await startHomeserverForTests();
  laptop = await bareMachine("laptop", homeserver);
  builder = await bareMachine("builder", homeserver);
});
afterAll(async () => {
  await closeAll([builder, laptop]);
  await homeserver?.close();
});

/** Ends the command by SIGKILL as soon as it passes that place. */
async function killedAt(place: string, machine: Machine, args: string[]): Promise<void> {
  const { code, stderr } = await machine.run(args, { env: { MX_AGENT_FAILPOINT: place } });
  expect(code, `${place}: ${stderr}`).toBeNull();
}

const count = async (machine: Machine, ...args: string[]) => (await machine.ask<unknown[]>(args)).length;

test("`up` goes on where it was killed, and makes nothing twice", async () => {
  const up = upFlags(laptop, homeserver);
  const account = homeserver ? ["setup.before_register"] : ["setup.before_account", "setup.before_login"];
  for (const place of [
    ...["up.after_homeserver", "setup.after_daemon", ...account, "up.after_account", "up.after_workspace"],
    ...["setup.after_agent", "up.after_policy", "up.after_config", "up.after_invitation"],
  ])
    await killedAt(place, laptop, up);
  const done = await laptop.ask<Up>(up);
  expect(done.changed).toEqual([]);
  expect(done.invitation?.link).toMatch(/^mxagent:/);
  expect(await count(laptop, "workspace", "list")).toBe(1);
  expect(await count(laptop, "agent", "list")).toBe(1);
  expect(await count(laptop, "invite", "list")).toBe(1);
  const { room_id } = done.workspace;
  expect(await readFile(join(laptop.home, "config", "config.toml"), "utf8")).toBe(
    `default_room = "${room_id}"\n`,
  );
  // And without a flag, because all of it is known by now.
  expect(await laptop.ask<Up>(["up"])).toEqual(done);
});

test("`join` goes on where it was killed, with the same link, which counts once", async () => {
  const { link, invite_id } = await invite(laptop);
  const join = joinFlags(builder, link, homeserver);
  for (const place of [
    ...["setup.after_daemon", "setup.before_register", "join.after_account", "join.after_redeem"],
    "setup.after_agent",
  ])
    await killedAt(place, builder, join);
  const done = await builder.ask<Joined>(join);
  expect(done).toMatchObject({ agent: { agent_id: "builder" }, changed: ["default_room", "policy"] });
  expect(await builder.ask<Joined>(join)).toMatchObject({ changed: [] });
  expect(await count(builder, "agent", "list")).toBe(2);
  const invites = await laptop.ask<{ invite_id: string; used: number }[]>(["invite", "list"]);
  expect(invites.find((one) => one.invite_id === invite_id)).toMatchObject({ used: 1, state: "used" });
  for (const [machine, other] of [
    [laptop, "builder"],
    [builder, "laptop"],
  ] as const)
    expect(await machine.ask(["trust", "list"])).toMatchObject([{ agent_id: other, status: "trusted" }]);
});

test("a link that was revoked makes no account on the embedded homeserver either", async () => {
  const { link, invite_id } = await invite(laptop, "--uses", "3");
  const read = readInviteLink(link);
  const token = read.ok ? read.link.registration_token : null;
  // On a homeserver of somebody else the inviter has no token to give away.
  expect(token === null).toBe(homeserver !== undefined);
  await laptop.ask(["invite", "revoke", invite_id]);
  const { homeserver: at } = await laptop.ask<Up>(["up"]);
  const path = "/_matrix/client/v1/register/m.login.registration_token/validity?token=";
  if (token !== null)
    expect(await (await fetch(`${at.url}${path}${token}`)).json()).toEqual({ valid: false });
});

test("after `down`, `up` starts all of it again, and the machines find each other", async () => {
  const down = await laptop.ask<{ daemon: number; homeserver: boolean }>(["down"]);
  expect(down).toMatchObject({ daemon: expect.any(Number), homeserver: homeserver === undefined });
  const up = await laptop.ask<Up>(["up"]);
  expect(up.changed).toEqual(homeserver ? ["daemon"] : ["homeserver", "daemon"]);
  const ping = ["agent", "ping", "--agent", "builder", "--timeout", "30s"];
  expect(await laptop.ask(ping)).toMatchObject({ agent_id: "builder" });
});

test("guests are given the address that `up --url` names", async () => {
  const given = await laptop.ask<Up>(["up", "--url", "https://matrix.example.org/"]);
  expect(given.homeserver.public_url).toBe("https://matrix.example.org");
  const read = readInviteLink((await invite(laptop)).link);
  expect(read).toMatchObject({ link: { homeserver: "https://matrix.example.org" } });
  expect((await laptop.run(["up", "--url", "nonsense"])).code).toBe(64);
});

test("a policy that is there stays as it is, and `policy allow` adds to it", async () => {
  const file = join(builder.home, "config", "policy.toml");
  const before = await readFile(file, "utf8");
  expect((await builder.run(["policy", "check"])).code).toBe(0);
  const allow = ["policy", "allow", "laptop", "--commands", "ls,git", "--cwd"];
  // Our own directories are never shown to a command, whatever a rule says.
  const own = await builder.run([...allow, builder.home, "--yes"]);
  expect(own).toMatchObject({ code: 78, stderr: expect.stringContaining("allow_cwd") });
  const project = join(builder.home, "project");
  await mkdir(project);
  const words = [...allow, project];
  const asked = await builder.run(words);
  expect(asked).toMatchObject({ code: 64, stdout: "" });
  expect(asked.stderr).toContain('+allow_commands = ["ls", "git"]');
  expect(await readFile(file, "utf8")).toBe(before);
  expect(await builder.ask([...words, "--yes"])).toMatchObject({ changed: true });
  const after = await readFile(file, "utf8");
  expect(after.startsWith(before)).toBe(true);
  expect(await builder.ask([...words, "--yes"])).toMatchObject({ changed: false, diff: "" });
  expect(await readFile(file, "utf8")).toBe(after);
  const nobody = await builder.run([
    "policy",
    "allow",
    "nobody",
    "--commands",
    "ls",
    "--cwd",
    "/srv",
    "--yes",
  ]);
  expect(nobody).toMatchObject({
    code: 77,
    stderr: expect.stringContaining("no key is approved for agent nobody"),
  });
});

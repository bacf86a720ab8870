import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  approve,
  entryOf,
  everydayCommands,
  policyFor,
  type TwoDaemons,
  twoDaemons,
} from "../support/two-daemons.ts";

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons({ encrypted: true });
});
afterAll(() => they?.close());

describe("in a workspace that is encrypted, as one is unless told otherwise,", () => {
  test("a command gives its output and its exit status, live", async () => {
    const live = they.execLive(["sh", "-c", "echo marigold; read word; echo got $word; exit 5"]);
    await live.until("marigold\n");
    live.child.stdin.write("tulip\n");
    expect(await live.ended).toMatchObject({ code: 5, stdout: "marigold\ngot tulip\n" });
  });

  test("stdin is piped through a remote sort", async () => {
    expect(await they.exec(["sort"], { stdin: "pear\napple\n" })).toMatchObject({
      ...{ code: 0, stdout: "apple\npear\n" },
    });
  });

  test("a refusal is told as in any other", async () => {
    const refused = await they.exec(["ls", "dandelion"]);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain("policy_denied");
  });

  test("a machine runs a command of its own, and its agent answers itself", async () => {
    const { builder, laptop, room, project } = they;
    await builder.setPolicy(
      `${policyFor(room, laptop.user, everydayCommands, project)}${entryOf(room, builder.user, ["sort"], project)}`,
    );
    const args = ["exec", "--room", room, "--agent", "builder", "--cwd", project, "--", "sort"];
    expect(await builder.run(args, { stdin: "marigold\nlily\n" })).toMatchObject({
      ...{ code: 0, stdout: "lily\nmarigold\n" },
    });
    expect(await builder.run(["agent", "ping", "--room", room, "--agent", "builder"])).toMatchObject({
      code: 0,
    });
    expect(await builder.ask(["daemon", "status"])).toMatchObject({ outbox_depth: 0 });
  });

  test("an agent is there as often as it is asked", async () => {
    const target = ["--room", they.room, "--agent", "builder"];
    const asked = ["show", "ping", "show", "ping"];
    const ended = await Promise.all(asked.map((verb) => they.laptop.run(["agent", verb, ...target])));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(await they.laptop.run(["agent", "ping", ...target])).toMatchObject({ code: 0 });
  });

  test("it goes on after both daemons were restarted", async () => {
    await Promise.all([they.laptop.ask(["daemon", "restart"]), they.builder.ask(["daemon", "restart"])]);
    expect(await they.exec(["echo", "again"])).toMatchObject({ code: 0, stdout: "again\n" });
  });

  test("the homeserver has seen neither commands nor output", async () => {
    const { url } = they.homeserver;
    const login = await fetch(`${url}/_matrix/client/v3/login`, {
      method: "POST",
      body: JSON.stringify({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: they.laptop.user },
        password: they.laptop.password,
      }),
    });
    const { access_token } = (await login.json()) as { access_token: string };
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(they.room)}/messages?dir=b&limit=500`;
    const page = await fetch(url + path, { headers: { authorization: `Bearer ${access_token}` } });
    const text = await page.text();
    expect(text.match(/"m\.room\.encrypted"/g)?.length).toBeGreaterThan(4);
    expect(text).not.toMatch(/marigold|tulip|dandelion|exec\.request/);
  });

  test("it is not joined as a plain one is made: nobody has to say --no-e2ee", async () => {
    const shown = await they.laptop.ask<{ room_id: string; encrypted: boolean }[]>(["workspace", "list"]);
    expect(shown.find(({ room_id }) => room_id === they.room)?.encrypted).toBe(true);
  });

  test("whose key was revoked is told so, though he reads nothing any more", async () => {
    const { builder, laptop, room } = they;
    await builder.ask(["trust", "revoke", "laptop", "--room", room]);
    const refused = await they.exec(["echo", "gladiolus"]);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain("revoked_key");
    await approve(builder, laptop, room);
    expect(await they.exec(["echo", "again"])).toMatchObject({ code: 0 });
  });
});

/** Links that do not lead in, and what is said of each; nothing is left behind by a try. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { bareMachine, closeAll, type Machine } from "../support/machine.ts";
import { failure, invite, type Joined, type Up } from "../support/set-up.ts";

let homeserver: TestHomeserver;
let laptop: Machine;
/** Machines with an account and a running daemon, in no workspace yet. */
let builder: Machine;
let other: Machine;
let link: string;

beforeAll(async () => {
  homeserver = await startHomeserverForTests({ registration: "token" });
  laptop = await bareMachine("laptop", homeserver);
  builder = await bareMachine("builder", homeserver);
  other = await bareMachine("other", homeserver);
  await laptop.ask<Up>(
    [
      ...["up", "--homeserver", homeserver.url, "--user", laptop.account, "--agent", "laptop"],
      ...["--register", "--registration-token-stdin", "--no-invite"],
    ],
    { stdin: `${await homeserver.registrationToken(1)}\n` },
  );
  link = (await invite(laptop, "--uses", "1")).link;
});
afterAll(async () => {
  await closeAll([builder, other, laptop]);
  await homeserver?.close();
});

const join = (pasted: string, ...flags: string[]) => ["join", pasted, "--yes", ...flags];

describe("before anything is done, `join` says of a link", () => {
  const refusals: [string, () => string, RegExp, RegExp][] = [
    ["that was cut off by a line break", () => link.slice(0, 200), /cut off/, /quotes.*join -/],
    ["that was changed", () => `${link.slice(0, -9)}AAAAAAAAA`, /was changed/, /another one/],
    ["that is none", () => "https://example.org/join", /no invitation link/, /mx-agent up/],
    ["with something behind it", () => `${link}.`, /more than the link/, /./],
  ];
  test.each(refusals)("%s what is wrong, and what to do", async (_, pasted, message, hint) => {
    expect(await failure(builder, join(pasted()))).toMatchObject({
      ...{ exit: 65, code: "MX_BAD_INPUT" },
      ...{ message: expect.stringMatching(message), hint: expect.stringMatching(hint) },
    });
    expect((await builder.run(["daemon", "status"])).code).toBe(3);
  });

  test("that has expired", async () => {
    const short = await invite(laptop, "--expires", "1ms");
    expect(await failure(builder, join(short.link))).toMatchObject({
      ...{ exit: 77, code: "MX_INVITE_REFUSED", reason: "expired" },
      hint: expect.stringContaining("mx-agent invite create"),
    });
  });

  test("what it says, and asks; without a terminal it wants --yes", async () => {
    const { fingerprint } = await laptop.ask<{ fingerprint: string }>(["trust", "fingerprint"]);
    const asked = await builder.run(["join", link]);
    expect(asked.code).toBe(64);
    for (const said of [homeserver.url, "laptop of @", fingerprint, "workspace", "--yes"])
      expect(asked.stderr).toContain(said);
    expect((await builder.run(["daemon", "status"])).code).toBe(3);
  });
});

describe("an account for the guest", () => {
  test("takes a registration token where the server wants one, and the error says so", async () => {
    expect(await failure(builder, join(link, "--register", "--user", builder.account))).toMatchObject({
      ...{ exit: 77, code: "MX_LOGIN_REFUSED" },
      hint: expect.stringContaining("--registration-token-stdin"),
    });
  });

  test("is made by the link alone, where the inviter put a token into it", async () => {
    const token = await homeserver.registrationToken(1);
    const made = await laptop.ask<{ link: string }>(["invite", "create", "--registration-token-stdin"], {
      stdin: `${token}\n`,
    });
    // By stdin, with line breaks: as it is pasted from a letter.
    const pasted = made.link.replace(/(.{72})/g, "$1\r\n");
    const joined = await builder.ask<Joined>(["join", "-", "--yes", "--agent", "builder"], { stdin: pasted });
    expect(joined.changed).toEqual(["account", "workspace", "trust", "agent", "default_room", "policy"]);
    expect((await laptop.run(["agent", "ping", "--agent", "builder"])).code).toBe(0);
  });

  test("can be made before: `auth login` takes password and token from stdin, and says when the token is wrong", async () => {
    const third = await bareMachine("third", homeserver);
    try {
      await third.startDaemon();
      const account = ["--homeserver", homeserver.url, "--user", third.account];
      const login = ["auth", "login", ...account, "--register", "--registration-token-stdin"];
      expect(
        await failure(third, login, { stdin: "wrong\n", env: { MX_AGENT_PASSWORD: third.password } }),
      ).toMatchObject({
        ...{
          exit: 77,
          code: "MX_LOGIN_REFUSED",
          message: expect.stringMatching(/token does not work|invalid registration token/i),
        },
      });
      const stdin = `${third.password}\n${await homeserver.registrationToken(1)}\n`;
      expect(await third.run([...login, "--password-stdin"], { stdin })).toMatchObject({ code: 0 });
      expect((await third.run(["auth", "status"])).code).toBe(0);
    } finally {
      await closeAll([third]);
    }
  });

  test("has a name that is not taken", async () => {
    const [token] = [await homeserver.registrationToken(1)];
    const taken = builderUser(await builder.ask<{ account: { user_id: string } }>(["auth", "status"]));
    const flags = ["--register", "--registration-token-stdin", "--user", taken];
    expect(await failure(other, join(link, ...flags), { stdin: `${token}\n` })).toMatchObject({
      ...{ code: "MX_LOGIN_REFUSED", hint: expect.stringContaining("--user NAME") },
    });
    await homeserver.registerUser(other.account, other.password);
    await other.login();
  });
});

const builderUser = ({ account }: { account: { user_id: string } }) =>
  account.user_id.slice(1, account.user_id.indexOf(":"));

describe("the inviter's daemon refuses", () => {
  test("a name that an agent has already; the link stays good for another one", async () => {
    expect(await failure(other, join(link, "--agent", "builder"))).toMatchObject({
      ...{ exit: 77, code: "MX_INVITE_REFUSED", reason: "name_taken" },
      hint: expect.stringContaining("--agent NAME"),
    });
    expect(await other.ask<unknown[]>(["workspace", "list"])).toEqual([]);
  });

  test("an invitation that was revoked", async () => {
    const made = await invite(laptop);
    await laptop.ask(["invite", "revoke", made.invite_id]);
    expect(await failure(other, join(made.link))).toMatchObject({ exit: 77, reason: "revoked" });
  });

  test("the second of two at once, and whoever comes later", async () => {
    const made = await invite(laptop);
    const ran = await Promise.all([
      builder.run([...join(made.link, "--agent", "builder"), "--json"]),
      other.run([...join(made.link, "--agent", "other"), "--json"]),
    ]);
    expect(ran.map(({ code }) => code).sort()).toEqual([0, 77]);
    const [list] = [
      await laptop.ask<{ invite_id: string; used: number; used_by: unknown[] }[]>(["invite", "list"]),
    ];
    expect(list.find((one) => one.invite_id === made.invite_id)).toMatchObject({
      ...{ used: 1, used_by: [expect.anything()] },
    });
    const loser = ran[0]?.code === 0 ? other : builder;
    expect(await failure(loser, join(made.link, "--agent", `${loser.name}-2`))).toMatchObject({
      reason: "used",
    });
  });

  test("nothing while it is away; and the link is good when it is back", async () => {
    const made = await invite(laptop);
    await laptop.ask(["daemon", "stop"]);
    expect(await failure(other, join(made.link, "--wait", "1s"))).toMatchObject({
      ...{ exit: 69, code: "MX_NO_ANSWER", hint: expect.stringContaining("the link stays good") },
    });
    await laptop.startDaemon();
    // What was asked meanwhile was kept for it by the homeserver.
    await eventually(async () => {
      const all = await laptop.ask<{ invite_id: string; used: number }[]>(["invite", "list"]);
      return all.some(({ invite_id, used }) => invite_id === made.invite_id && used === 1);
    });
    expect((await other.run(join(made.link))).code).toBe(0);
  });
});

test("a link of another server is not used with this account", async () => {
  const elsewhere = await startHomeserverForTests({ kind: "embedded" });
  const third = await bareMachine("third", elsewhere);
  try {
    await third.ask(["up", "--homeserver", elsewhere.url, "--register", "--no-invite"]);
    const made = await invite(third);
    expect(await failure(other, join(made.link))).toMatchObject({
      ...{ exit: 65, code: "MX_BAD_INPUT", message: expect.stringContaining(elsewhere.url) },
      hint: expect.stringContaining("MX_AGENT_HOME"),
    });
  } finally {
    await third.close();
    await elsewhere.close();
  }
});

test("nothing in the room and no list shows a secret of a link", async () => {
  const made = await invite(laptop, "--expires", "1h");
  const payload = JSON.parse(Buffer.from(made.link.split(".").at(-1) ?? "", "base64url").toString());
  const shown = [
    await laptop.run(["invite", "list", "--json"]),
    await laptop.run(["audit", "tail", "--lines", "500", "--json"]),
    await laptop.run(["daemon", "logs", "--lines", "5000"]),
    await other.run(["daemon", "logs", "--lines", "5000"]),
  ];
  for (const { stdout, stderr } of shown) expect(stdout + stderr).not.toContain(payload.secret);
  expect(shown[0]?.stdout).toContain(payload.invite_id);
  expect(await laptop.ask<{ link: string }>(["invite", "show", made.invite_id])).toMatchObject({
    link: made.link,
  });
});

test("a server without registration leaves the accounts to its operator", async () => {
  const closed = await startHomeserverForTests({ registration: "closed" });
  const first = await bareMachine("first", closed);
  const second = await bareMachine("second", closed);
  try {
    const flags = ["up", "--homeserver", closed.url, "--user", first.account];
    expect(await failure(first, [...flags, "--register"])).toMatchObject({
      ...{ exit: 77, code: "MX_LOGIN_REFUSED", hint: expect.stringContaining("ask its operator") },
    });
    for (const machine of [first, second]) await closed.registerUser(machine.account, machine.password);
    const up = await first.ask<Up>([...flags, "--password-stdin", "--agent", "first"], {
      stdin: `${first.password}\n`,
    });
    const guest = join(up.invitation?.link ?? "", "--agent", "second");
    expect(await failure(second, guest)).toMatchObject({ exit: 64, code: "MX_USAGE" });
    const env = { MX_AGENT_PASSWORD: second.password };
    expect((await second.run([...guest, "--user", second.account], { env })).code).toBe(0);
  } finally {
    await closeAll([second, first]);
    await closed.close();
  }
});

import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { connect } from "@mx-agent/ipc/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { closeAll, type Machine, startMachine } from "../support/machine.ts";
import { approve, shareWorkspace } from "../support/two-daemons.ts";

let homeserver: TestHomeserver;
let alice: Machine;
let bob: Machine;
/** Where both are agents and trust each other; each test leaves it so. */
let room: string;
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  [alice, bob] = await Promise.all([
    startMachine({ name: "alice", homeserver }),
    startMachine({ name: "bob", homeserver }),
  ]);
  room = await shareWorkspace(alice, bob);
});
afterAll(async () => {
  await closeAll([alice, bob]).finally(() => homeserver?.close());
});

interface Workspace {
  room_id: string;
  name: string;
  alias: string | null;
  membership: string;
  encrypted: boolean;
  member_count: number | null;
  inviter: string | null;
}
const workspaces = (machine: Machine) => machine.ask<Workspace[]>(["workspace", "list"]);
const create = (machine: Machine, ...args: string[]) =>
  machine.ask<Workspace>(["workspace", "create", ...args, "--no-e2ee"]);

describe("a workspace", () => {
  test("that is not encrypted, and was joined by another client, is used when somebody here agrees to that", async () => {
    const post = async (path: string, body: object, token?: string) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const url = `${homeserver.url}/_matrix/client/v3${path}`;
      const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
      return (await answer.json()) as { access_token: string; room_id: string };
    };
    const { access_token } = await post("/login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: alice.user },
      password: alice.password,
    });
    const { room_id } = await post("/createRoom", { preset: "private_chat" }, access_token);
    await eventually(async () => (await workspaces(alice)).some((one) => one.room_id === room_id));
    const refused = await alice.run(["agent", "register", "--room", room_id, "--agent", "alice"]);
    expect(refused.code).toBe(65);
    expect(refused.stderr).toMatch(/workspace join '?![^ ]* --no-e2ee/);
    expect(await alice.run(["workspace", "join", room_id])).toMatchObject({ code: 65 });
    expect(await alice.ask(["workspace", "join", room_id, "--no-e2ee"])).toMatchObject({ encrypted: false });
    expect(await alice.ask(["agent", "register", "--room", room_id, "--agent", "alice"])).toMatchObject({
      agent_id: "alice",
    });
    await alice.ask(["workspace", "leave", room_id]);
  });

  test("is made, invited to, accepted, listed and left", async () => {
    const made = await create(alice, "garden", "--invite", bob.user);
    expect(made).toMatchObject({ name: "garden", encrypted: false, membership: "join" });
    const invited = async () => (await workspaces(bob)).find(({ room_id }) => room_id === made.room_id);
    await eventually(async () => (await invited())?.membership === "invite");
    expect(await invited()).toMatchObject({ inviter: alice.user, member_count: null });
    expect((await bob.run(["workspace", "list"])).stdout).toMatch(/garden .* no +unknown/);
    expect(await bob.ask(["workspace", "accept", made.room_id, "--no-e2ee"])).toMatchObject({
      membership: "join",
    });
    await eventually(async () => {
      const members = await alice.ask<{ user_id: string; membership: string }[]>([
        ...["workspace", "members", "--room", "garden"],
      ]);
      return members.some(({ user_id, membership }) => user_id === bob.user && membership === "join");
    });
    expect(await bob.ask(["workspace", "leave", made.room_id])).toEqual({ room_id: made.room_id });
    await eventually(async () => (await invited())?.membership !== "join");
  });

  test("is accepted by the name that the list of invitations shows", async () => {
    await create(alice, "orchard", "--invite", bob.user);
    await eventually(async () => (await workspaces(bob)).some(({ name }) => name === "orchard"));
    expect(await bob.ask(["workspace", "accept", "orchard", "--no-e2ee"])).toMatchObject({ name: "orchard" });
  });

  test("is joined by its alias by whoever was invited", async () => {
    const alias = `meadow-${alice.home.slice(-6).toLowerCase()}`;
    const made = await create(alice, "meadow", "--alias", alias);
    expect(made.alias).toBe(`#${alias}:${homeserver.name}`);
    await alice.ask(["workspace", "invite", bob.user, "--room", made.room_id]);
    const joined = await bob.ask<Workspace>(["workspace", "join", made.alias ?? "", "--no-e2ee"]);
    expect(joined.room_id).toBe(made.room_id);
  });

  test("is not joined by who was not invited, and the server's refusal is told", async () => {
    const made = await create(alice, "cellar");
    const refused = await bob.run(["workspace", "join", made.room_id, "--no-e2ee"]);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/M_FORBIDDEN/);
  });

  test("that is not encrypted is not joined without saying so", async () => {
    const made = await create(alice, "kitchen", "--invite", bob.user);
    await eventually(async () => (await workspaces(bob)).some(({ room_id }) => room_id === made.room_id));
    const refused = await bob.run(["workspace", "accept", made.room_id]);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("--no-e2ee");
  });

  test("gives power to whom it is granted", async () => {
    const made = await create(alice, "tower");
    await alice.ask(["workspace", "invite", bob.user, "--room", made.room_id]);
    await bob.ask(["workspace", "join", made.room_id, "--no-e2ee"]);
    expect((await bob.run(["agent", "register", "--room", made.room_id])).code).not.toBe(0);
    expect(await alice.ask(["workspace", "grant", bob.user, "--room", made.room_id])).toMatchObject({
      power_level: 50,
    });
    await bob.ask(["agent", "register", "--room", made.room_id, "--agent", "bob"]);
    expect(
      (await alice.run(["workspace", "grant", bob.user, "--level", "many", "--room", "tower"])).code,
    ).toBe(64);
  });

  test("says which project it is about", async () => {
    const made = await create(alice, "project");
    const repository = join(alice.home, "repository");
    await mkdir(repository);
    const git = (...args: string[]) => promisify(execFile)("git", ["-C", repository, ...args]);
    await git("init", "-q");
    await git("remote", "add", "origin", "https://user:secret@example.org/thing.git");
    await alice.ask(["workspace", "attach", repository, "--room", made.room_id]);
    const status = await alice.run(["workspace", "status", "--room", made.room_id, "--json"]);
    expect(status.code).toBe(0);
    expect(status.stdout).not.toContain("secret");
  });

  test("of the daemon's own making has every power level that it needs", async () => {
    expect((await alice.run(["workspace", "upgrade", "--room", room])).stdout).toBe("nothing to add\n");
    expect(await bob.run(["workspace", "upgrade", "--room", "nowhere"])).toMatchObject({ code: 3 });
  });

  test("shows who is in it, and what they may", async () => {
    const members = await alice.run(["workspace", "members", "--room", room]);
    expect(members.stdout).toMatch(new RegExp(`${bob.user} .* join +50 +bob`));
    const status = await alice.run(["workspace", "status", "--room", room]);
    expect(status.stdout).toMatch(/members: +2\n/);
    expect(status.stdout).toContain("alice (here)");
  });

  test("that nobody knows is 3", async () => {
    const ended = await alice.run(["workspace", "members", "--room", "atlantis"]);
    expect(ended.code).toBe(3);
    expect(ended.stderr).toContain("atlantis");
  });
});

describe("agents", () => {
  test("see each other and answer each other", async () => {
    const listed = await alice.ask<{ agent_id: string; mine: boolean; trusted: boolean }[]>([
      ...["agent", "list", "--room", room],
    ]);
    expect(listed.map(({ agent_id }) => agent_id).sort()).toEqual(["alice", "bob"]);
    expect(listed.find(({ agent_id }) => agent_id === "bob")).toMatchObject({ mine: false, trusted: true });
    const pong = await alice.ask<{ round_trip_ms: number }>([
      "agent",
      "ping",
      "--room",
      room,
      "--agent",
      "bob",
    ]);
    expect(pong.round_trip_ms).toBeGreaterThanOrEqual(0);
    expect(await alice.ask(["agent", "show", "--room", room, "--agent", "bob"])).toMatchObject({
      user_id: bob.user,
      liveness: "active",
    });
    expect((await alice.run(["agent", "list", "--room", room])).stdout).toMatch(/bob .* yes /);
    const pinged = await alice.ask<{ agent_id: string; liveness: string }[]>([
      ...["agent", "list", "--room", room, "--ping"],
    ]);
    expect(pinged.find(({ agent_id }) => agent_id === "bob")?.liveness).toBe("active");
  });

  test("that does not answer is told as such: 69", async () => {
    await bob.run(["daemon", "stop"]);
    const ended = await alice.run(["agent", "ping", "--room", room, "--agent", "bob", "--timeout", "1s"]);
    expect(ended.code).toBe(69);
    expect(ended.stderr).toContain("MX_NO_ANSWER");
    expect(ended.stderr).toMatch(/next: on bob's machine: `mx-agent daemon status`/);
    await bob.startDaemon();
  });

  test("with a name that cannot be one are refused", async () => {
    const made = await create(alice, "names");
    for (const name of ["", "@alice", "a/b", "a|b", "x".repeat(200)]) {
      const ended = await alice.run(["agent", "register", "--room", made.room_id, "--agent", name]);
      expect([name, ended.code]).toEqual([name, 64]);
    }
  });

  test("are watched as they come", async () => {
    const made = await create(alice, "watched");
    const watching = alice.spawn(["workspace", "status", "--room", made.room_id, "--watch", "--json"]);
    await watching.until("\n");
    await alice.ask(["agent", "register", "--room", made.room_id, "--agent", "newcomer"]);
    await watching.until("newcomer");
    watching.signal("SIGINT");
    expect((await watching.ended).code).toBe(130);
  });
});

describe("trust", () => {
  test("is by fingerprint: another one than the agent's is refused", async () => {
    const wrong = `SHA256:${"A".repeat(43)}`;
    const ended = await alice.run(["trust", "approve", "bob", "--room", room, "--fingerprint", wrong]);
    expect(ended.code).not.toBe(0);
    expect(ended.stderr).not.toContain("MX_INTERNAL");
  });

  test("asks a person, and without a terminal says how a script does it", async () => {
    const ended = await alice.run(["trust", "approve", "bob", "--room", room]);
    expect(ended.code).toBe(64);
    expect(ended.stderr).toContain("--fingerprint");
    const { fingerprint } = await bob.ask<{ fingerprint: string }>(["trust", "fingerprint"]);
    expect(ended.stderr).toContain(fingerprint);
  });

  test("is given by the person who was shown the fingerprint and says yes, and by nobody who does not", async () => {
    const made = await create(alice, "asked");
    await alice.ask(["agent", "register", "--room", made.room_id, "--agent", "alice"]);
    const { fingerprint } = await alice.ask<{ fingerprint: string }>(["trust", "fingerprint"]);
    const answering = async (typed: string) => {
      const running = alice.spawnAtTerminal(["trust", "approve", "alice", "--room", made.room_id]);
      await running.until("[y/N] ");
      expect(running.stdout).toContain(fingerprint);
      running.child.stdin.write(typed);
      return running.ended;
    };
    const listed = () => alice.ask<object[]>(["trust", "list", "--room", made.room_id]);
    for (const no of ["n\r", "\r", "yo\r"]) expect((await answering(no)).code).toBe(77);
    expect(await listed()).toEqual([]);
    expect((await answering("y\r")).code).toBe(0);
    expect(await listed()).toMatchObject([{ agent_id: "alice", status: "trusted" }]);
  });

  test("is listed, and ends when it is revoked: then nothing of that key runs here", async () => {
    const listed = async () =>
      (await bob.ask<{ agent_id: string; status: string; room_id: string }[]>(["trust", "list"])).filter(
        ({ room_id }) => room_id === room,
      );
    expect(await listed()).toMatchObject([{ agent_id: "alice", status: "trusted" }]);
    expect(await bob.ask(["trust", "revoke", "alice", "--room", room])).toMatchObject({
      revoked: [{ agent_id: "alice", status: "revoked" }],
    });
    const refused = await alice.run(["exec", "--room", room, "--agent", "bob", "--", "true"]);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toMatch(/revoked_key|untrusted_key/);
    expect(refused.stderr).toMatch(/on bob's machine: `mx-agent trust approve/);
    await approve(bob, alice, room);
    expect(await listed()).toMatchObject([{ agent_id: "alice", status: "trusted" }]);
  });

  test("ends by itself when it was given for a time", async () => {
    const { fingerprint } = await alice.ask<{ fingerprint: string }>(["trust", "fingerprint"]);
    await bob.ask([
      "trust",
      "approve",
      "alice",
      "--room",
      room,
      "--fingerprint",
      fingerprint,
      "--expires",
      "1s",
    ]);
    await eventually(async () => {
      const entries = await bob.ask<{ room_id: string; status: string }[]>(["trust", "list"]);
      return entries.some((entry) => entry.room_id === room && entry.status === "expired");
    });
    await approve(bob, alice, room);
  });

  test("of an agent that is not approved here: the request is not even sent", async () => {
    await alice.ask(["trust", "revoke", "bob", "--room", room]);
    const ended = await alice.run(["exec", "--room", room, "--agent", "bob", "--", "true"]);
    expect(ended.code).toBe(77);
    expect(ended.stderr).toContain("MX_UNTRUSTED");
    await approve(alice, bob, room);
  });

  test("is the operator's to give: the agents' socket does not serve it", async () => {
    const client = await connect({ socket: join(alice.home, "runtime", "agent.sock"), version: "0" });
    const call = client.call("trust.approve", {
      ...{ room: "!r", agent: "bob", fingerprint: "SHA256:x", expires_at: null, legacy: false },
    });
    await expect(call.result).rejects.toMatchObject({ code: "MX_ROLE" });
    client.close();
  });
});

test("an agent that is taken out of a workspace is there no more", async () => {
  await bob.ask(["agent", "unregister", "--room", room, "--agent", "bob"]);
  await eventually(async () => {
    const shown = await alice.run(["agent", "show", "--room", room, "--agent", "bob", "--json"]);
    return shown.code !== 0 || JSON.parse(shown.stdout).status === "offline";
  });
});

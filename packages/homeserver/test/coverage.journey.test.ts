import { expect, onTestFinished, test } from "vitest";
import type { TestHomeserver } from "../../../scripts/homeservers.ts";
import { twoDaemons } from "../../cli/test/support/two-daemons.ts";
import { startFaultProxy } from "../../daemon/test/support/fault-proxy.ts";
import { listed, recorder, refused } from "./support/coverage.ts";
import { testServer } from "./support/server.ts";
import { signIn } from "./support/users.ts";
import { Witness } from "./support/witness.ts";

test("two daemons, from login to logout, call what is on the coverage list as theirs and nothing else", async () => {
  // The list is the embedded homeserver's own, whatever the journeys run on.
  if (process.env.MX_TEST_HOMESERVER === "synapse") return;
  const seen = new Set<string>();
  const server = await testServer({ logger: recorder(seen) });
  onTestFinished(() => server.close());
  const proxy = await startFaultProxy(server.url);
  onTestFinished(() => proxy.close());
  const witness = new Witness();
  const homeserver = witness.through(proxy, {
    kind: "embedded",
    url: server.url,
    name: "localhost",
    pid: process.pid,
    async registerUser(name, password) {
      await server.addUser(name, password);
    },
    registrationToken: (uses) => server.createRegistrationToken({ uses }),
    kill: () => Promise.reject(new Error("it runs in this process")),
    restart: () => Promise.reject(new Error("it runs in this process")),
    close: () => Promise.resolve(),
  } satisfies TestHomeserver);
  const { laptop, builder, room, exec, close } = await twoDaemons({ homeserver, encrypted: true });
  try {
    expect(await exec(["echo", "recorded"])).toMatchObject({ code: 0, stdout: "recorded\n" });
    await laptop.run(["doctor"]);
    await laptop.ask(["auth", "cross-signing", "bootstrap"]);
    await laptop.run(["recovery", "enable"]);
    // More than a timeline holds, while the builder is away: it fetches the rest.
    await builder.ask(["daemon", "stop"]);
    await server.addUser("chatty", "secret");
    const chatty = await signIn(server, "chatty", "CHATTY");
    await laptop.ask(["workspace", "invite", chatty.id, "--room", room]);
    await chatty.post(`/join/${room}`);
    for (let n = 0; n < 120; n++) await chatty.say(room, `chat ${n}`);
    await builder.startDaemon();
    expect(await exec(["echo", "again"])).toMatchObject({ code: 0, stdout: "again\n" });
    // Keys are backed up in their own time.
    const backup = "PUT /_matrix/client/v3/room_keys/keys";
    await expect.poll(() => seen.has(backup), { timeout: 20_000 }).toBe(true);
    await laptop.ask(["workspace", "leave", room]);
    await laptop.ask(["auth", "logout"]);
  } finally {
    await close();
  }
  witness.expectRight(seen.size);
  expect([...seen].filter((call) => !listed("daemon").includes(call) && !refused.has(call)).sort()).toEqual(
    [],
  );
  expect(listed("daemon").filter((call) => !seen.has(call))).toEqual([]);
});

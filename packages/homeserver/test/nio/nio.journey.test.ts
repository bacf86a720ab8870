import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startHomeserverForTests } from "../../../../scripts/homeservers.ts";
import { nioPython } from "../../../../scripts/nio.ts";
import { spawnServer } from "../../../../scripts/synapse/process.ts";
import { VenvUnavailable } from "../../../../scripts/synapse/venv.ts";
import { startFaultProxy } from "../../../daemon/test/support/fault-proxy.ts";
import { Story } from "../differential/story.ts";
import { Witness } from "../support/witness.ts";

const program = fileURLToPath(new URL("client.py", import.meta.url));

test("a client of another stack (matrix-nio) logs in, joins, sends and reads", { timeout: 600_000 }, async ({
  skip,
}) => {
  const python = await nioPython().catch((error: unknown) => {
    if (error instanceof VenvUnavailable) return skip(error.message);
    throw error;
  });
  const homeserver = await startHomeserverForTests();
  onTestFinished(() => homeserver.close());

  const story = new Story(homeserver, "nio", undefined);
  const [alice] = await story.people("alice");
  await homeserver.registerUser("bob", "bob's password");
  const bob = `@bob:${homeserver.name}`;
  const room = await alice.room({ preset: "private_chat", name: "Workshop", invite: [bob] });
  await alice.says(room, "written before nio came");

  const proxy = await startFaultProxy(homeserver.url);
  onTestFinished(() => proxy.close());
  const witness = new Witness();
  const { url } = witness.through(proxy, homeserver);
  const nio = await spawnServer(python, [program]);
  onTestFinished(() => nio.kill("SIGKILL"));
  nio.stdin.write(`${JSON.stringify({ url, user: bob, password: "bob's password" })}\n`);
  const did: Record<string, unknown>[] = [];
  for await (const line of createInterface({ input: nio.stdout })) {
    const step: Record<string, unknown> = JSON.parse(line);
    did.push(step);
    if (step.did === "send") await alice.says(room, "good to see you");
  }

  expect(did, nio.complaints()).toEqual([
    { did: "login", user: bob },
    { did: "join", room },
    { did: "state", name: "Workshop", members: [alice.id, bob] },
    { did: "history", texts: ["written before nio came"] },
    { did: "send", event: expect.stringMatching(/^\$/) },
    { did: "read", text: "good to see you" },
    { did: "logout" },
  ]);
  witness.expectRight(7, homeserver.kind);
  const last = await alice.get(`/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=2`);
  expect(JSON.stringify(last.body)).toContain("hello from nio");
});

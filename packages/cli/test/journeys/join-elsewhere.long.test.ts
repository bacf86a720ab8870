/** A guest whose account is on another homeserver, which federates with the inviter's: always two Synapses. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Federation, startFederation } from "../../../../scripts/synapse/federation.ts";
import { bareMachine, closeAll, type Machine } from "../support/machine.ts";
import type { Joined, Up } from "../support/set-up.ts";

let federation: Federation;
let laptop: Machine;
let builder: Machine;
beforeAll(async () => {
  federation = await startFederation();
  [laptop, builder] = await Promise.all([
    bareMachine("laptop", federation.servers[0]),
    bareMachine("builder", federation.servers[1]),
  ]);
});
afterAll(async () => {
  await closeAll([builder, laptop]);
  await federation?.close();
});

test("proves the link over federation, joins, and both find each other", async () => {
  const [first, second] = federation.servers;
  const up = ["up", "--homeserver", first.url, "--register", "--user", laptop.account, "--agent", "laptop"];
  const { invitation } = await laptop.ask<Up>(up);
  const joined = await builder.ask<Joined>([
    ...["join", invitation?.link ?? "", "--yes", "--agent", "builder"],
    ...["--homeserver", second.url, "--register", "--user", builder.account],
  ]);
  expect(joined.account.user_id).toBe(`@${builder.account}:${second.name}`);
  const ping = ["agent", "ping", "--agent", "builder", "--timeout", "30s"];
  expect(await laptop.ask(ping)).toMatchObject({ agent_id: "builder" });
  expect(await laptop.ask(["trust", "list"])).toMatchObject([{ user_id: joined.account.user_id }]);
});

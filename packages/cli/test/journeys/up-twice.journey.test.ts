/** Set up by two at once: a person's and a script's `up`, two terminals with one link. */
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

const atOnce = <T>(times: number, ask: () => Promise<T>) => Promise.all(Array.from({ length: times }, ask));
const count = async (machine: Machine, ...args: string[]) => (await machine.ask<unknown[]>(args)).length;
const devices = async (machine: Machine) =>
  (await machine.ask<{ devices: unknown[] }>(["device", "list"])).devices.length;

test("of several `up` in one home one does the work, and all say what is there", async () => {
  const all = await atOnce(3, () => laptop.ask<Up>(upFlags(laptop, homeserver)));
  const [first] = all;
  expect(all.map((up) => ({ ...up, changed: [] }))).toEqual(all.map(() => ({ ...first, changed: [] })));
  expect(all.filter(({ changed }) => changed.length > 0)).toHaveLength(1);
  expect(await count(laptop, "workspace", "list")).toBe(1);
  expect(await count(laptop, "agent", "list")).toBe(1);
  expect(await count(laptop, "invite", "list")).toBe(1);
  expect(await devices(laptop)).toBe(1);
});

test("of two `join` in one home with one link one uses it, and both have joined", async () => {
  const { link, invite_id } = await invite(laptop);
  const joined = await atOnce(2, () => builder.ask<Joined>(joinFlags(builder, link, homeserver)));
  expect(joined.map(({ agent }) => agent?.agent_id)).toEqual(["builder", "builder"]);
  expect(joined.filter(({ changed }) => changed.length > 0)).toHaveLength(1);
  const invites = await laptop.ask<{ invite_id: string; used: number }[]>(["invite", "list"]);
  expect(invites.find((one) => one.invite_id === invite_id)).toMatchObject({ used: 1, state: "used" });
  expect(await count(builder, "agent", "list")).toBe(2);
  expect(await devices(builder)).toBe(1);
});

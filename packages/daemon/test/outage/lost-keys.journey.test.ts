/** The store of a device's encryption keys is gone, damaged, or from a later version, when the daemon starts. */
import { copyFileSync, readdirSync, renameSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type Machine, startMachine } from "../../../cli/test/support/machine.ts";

let homeserver: TestHomeserver;
let box: Machine;
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  box = await startMachine({ name: "box", homeserver });
  await box.ask(["workspace", "create", "vault"]);
});
afterAll(async () => {
  await box?.close();
  await homeserver?.close();
});

interface Status {
  sync: { state: string; detail: string | null };
  account: { device_id: string } | null;
}
const status = () => box.ask<Status>(["daemon", "status"]);
const devices = async () => (await box.ask<{ devices: object[] }>(["device", "list"])).devices;

/** The store's database, or what its values are encrypted with. */
function file(end: ".db" | ".key"): string {
  const dir = join(box.home, "data", "crypto");
  const found = readdirSync(dir).find((name) => name.endsWith(end));
  return join(dir, found ?? expect.fail(`no ${end} in ${dir}`));
}

const half = (path: string) => truncateSync(path, Math.floor(statSync(path).size / 2));

function later(path: string): void {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA user_version = 99; UPDATE meta SET value = '9.9.9' WHERE name = 'version'");
  db.close();
}

test.each([
  ["its database is gone", ".db", rmSync, "is missing"],
  ["its database is damaged", ".db", half, "damaged"],
  ["its database is of a later version", ".db", later, "newer mx-agent"],
  ["its key is gone", ".key", rmSync, "is missing"],
] as const)(
  "%s: the daemon says so, makes no new device, and goes on as the old one when it is back",
  async (_, end, harm, said) => {
    const { account } = await status();
    const before = await devices();
    await box.ask(["daemon", "stop"]);
    const path = file(end);
    const kept = `${path}.kept`;
    copyFileSync(path, kept);
    harm(path);
    await box.startDaemon();
    expect(await status()).toMatchObject({
      sync: { state: "stopped", detail: expect.stringContaining(said) },
      account,
    });
    const refused = await box.run(["workspace", "create", "another"]);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(said);

    await box.ask(["daemon", "stop"]);
    renameSync(kept, path);
    await box.startDaemon();
    await eventually(async () => (await status()).sync.state === "healthy", "the session is healthy");
    expect(await devices()).toEqual(before);
  },
);

test("who has no copy logs out and in again, and is a new device", async () => {
  const { account } = await status();
  await box.ask(["daemon", "stop"]);
  rmSync(file(".db"));
  await box.startDaemon();
  await box.ask(["auth", "logout"]);
  await box.login();
  await eventually(async () => (await status()).sync.state === "healthy", "the session is healthy");
  expect((await status()).account?.device_id).not.toBe(account?.device_id);
});

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DeviceInfo, RecoveryStatus } from "@mx-agent/ipc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { type Machine, newMachine, type RunningCommand } from "../support/machine.ts";
import { everydayCommands, policyFor, type TwoDaemons, twoDaemons } from "../support/two-daemons.ts";

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons({ encrypted: true });
});
afterAll(() => they?.close());

const own = (machine: Machine) => machine.ask<DeviceInfo>(["device", "show"]);
const verified = async (machine: Machine, whose: Machine) => {
  const { device_id } = await own(whose);
  return (await machine.ask<DeviceInfo>(["device", "show", whose.user, device_id])).verified;
};

/** The line that a side was shown to compare, once it was. */
async function shown(side: RunningCommand): Promise<{ emoji: unknown[]; decimal: number[] }> {
  await side.until('"compare"');
  const line = side.stdout.split("\n").find((one) => one.includes('"compare"')) ?? "";
  return JSON.parse(line);
}

/** One machine verifies the other, with what each person says. */
async function compareDevices(says: { starting: string; accepting: string }) {
  const flags = ["--answer-stdin", "--json"];
  const { device_id } = await own(they.builder);
  const accepting = they.builder.spawn(["device", "verify", they.laptop.user, "--accept", ...flags]);
  await accepting.until('"waiting"');
  const starting = they.laptop.spawn(["device", "verify", they.builder.user, device_id, ...flags]);
  const [one, other] = await Promise.all([shown(starting), shown(accepting)]);
  expect(one.emoji).toEqual(other.emoji);
  expect(one.decimal).toEqual(other.decimal);
  expect(one.decimal).toHaveLength(3);
  starting.child.stdin.end(says.starting);
  accepting.child.stdin.end(says.accepting);
  return Promise.all([starting.ended, accepting.ended]);
}

describe("a device", () => {
  test("is shown with its fingerprint to whoever asks, and none is verified at first", async () => {
    const { devices } = await they.laptop.ask<{ devices: DeviceInfo[] }>([
      ...["device", "list", "--room", they.room],
    ]);
    const builders = await own(they.builder);
    expect(devices.find(({ device_id }) => device_id === builders.device_id)).toMatchObject({
      user_id: they.builder.user,
      fingerprint: builders.fingerprint,
      verified: false,
    });
    const text = (await they.laptop.run(["device", "list", "--room", they.room])).stdout;
    expect(text).toContain(builders.fingerprint);
  });

  test("is compared at a terminal, or by an answer that was asked for: never by a silent pipe", async () => {
    const refused = await they.laptop.run(["device", "verify", they.builder.user], { stdin: "yes\n" });
    expect(refused.code).toBe(64);
    expect(refused.stderr).toContain("--answer-stdin");
  });

  test("is whichever accepts, where its user is asked in a room: who has no identity can't be asked there", async () => {
    const asking = ["device", "verify", they.builder.user, "--room", they.room, "--answer-stdin"];
    const nobody = await they.laptop.run(asking, { stdin: "yes\n" });
    expect(nobody).toMatchObject({ code: 65, stderr: expect.stringContaining("no cross-signing keys") });
    const both = await they.laptop.run(["device", "verify", they.builder.user, "SOME", "--room", they.room]);
    expect(both).toMatchObject({ code: 64, stderr: expect.stringContaining("--room") });
  });

  test.each([
    ["a no", { starting: "yes\n", accepting: "no\n" }],
    ["nothing", { starting: "", accepting: "yes\n" }],
    ["anything else", { starting: "yes\n", accepting: "perhaps\n" }],
  ])("is not verified when one side says %s, and both are told", async (_, says) => {
    const ends = await compareDevices(says);
    for (const end of ends) expect(end.code).toBe(77);
    expect(await verified(they.laptop, they.builder)).toBe(false);
    expect(await verified(they.builder, they.laptop)).toBe(false);
  });

  test("is verified on both sides when both say yes, and stays so over a restart", async () => {
    const ends = await compareDevices({ starting: "yes\n", accepting: "y\n" });
    for (const end of ends) expect(end).toMatchObject({ code: 0 });
    const { stdout: record } = await they.laptop.run(["audit", "tail"]);
    expect(record).toMatch(new RegExp(`device action=verified by=comparison user_id=${they.builder.user}`));
    await they.laptop.ask(["daemon", "restart"]);
    expect(await verified(they.laptop, they.builder)).toBe(true);
    expect(await verified(they.builder, they.laptop)).toBe(true);
  });

  test("is not verified by another fingerprint than its own, and is by its own, which can be taken back", async () => {
    const { device_id, fingerprint } = await own(they.builder);
    await they.laptop.ask(["device", "unverify", they.builder.user, device_id]);
    expect(await verified(they.laptop, they.builder)).toBe(false);
    const wrong = (await own(they.laptop)).fingerprint;
    const verify = ["device", "verify", they.builder.user, device_id, "--fingerprint"];
    expect(await they.laptop.run([...verify, wrong])).toMatchObject({ code: 65 });
    expect(await verified(they.laptop, they.builder)).toBe(false);
    expect(await they.laptop.ask([...verify, fingerprint.replaceAll(" ", "")])).toMatchObject({
      verified: true,
    });
  });
});

describe("where the policy demands a verified device", () => {
  beforeAll(async () => {
    const { room, laptop, project, builder } = they;
    const policy = policyFor(room, laptop.user, everydayCommands, project);
    await builder.setPolicy(
      policy.replace("trusted = true", "trusted = true\nrequire_verified_device = true"),
    );
    const { device_id } = await own(laptop);
    await builder.run(["device", "unverify", laptop.user, device_id]);
  });

  test("a trusted key from a device that nobody verified is refused, and is not once somebody did", async () => {
    const refused = await they.exec(["echo", "early"]);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain("unverified_device");
    const { device_id, fingerprint } = await own(they.laptop);
    await they.builder.ask(["device", "verify", they.laptop.user, device_id, "--fingerprint", fingerprint]);
    expect(await they.exec(["echo", "verified"])).toMatchObject({ code: 0, stdout: "verified\n" });
  });

  test("whoever logs in again is a new device: seen by the others, and refused until it is verified", async () => {
    const { laptop, builder } = they;
    const before = await own(laptop);
    await laptop.ask(["auth", "logout"]);
    await laptop.login();
    const after = await own(laptop);
    expect(after.device_id).not.toBe(before.device_id);
    await eventually(async () => {
      const { devices } = await builder.ask<{ devices: DeviceInfo[] }>([
        "device",
        "list",
        "--user",
        laptop.user,
      ]);
      return devices.map(({ device_id }) => device_id).join() === after.device_id;
    });
    const refused = await they.exec(["echo", "new"]);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain("unverified_device");
    const verify = ["device", "verify", laptop.user, after.device_id, "--fingerprint"];
    await builder.ask([...verify, after.fingerprint]);
    expect(await they.exec(["echo", "known"])).toMatchObject({ code: 0, stdout: "known\n" });
  });

  test("a device that is signed by an identity that was verified counts, without being verified itself", async () => {
    const { laptop, builder } = they;
    for (const machine of [laptop, builder]) await machine.ask(["auth", "cross-signing", "bootstrap"]);
    const ends = await compareDevices({ starting: "yes\n", accepting: "yes\n" });
    for (const end of ends) expect(end).toMatchObject({ code: 0 });
    const { device_id } = await own(laptop);
    await builder.ask(["device", "unverify", laptop.user, device_id]);
    expect(await builder.ask(["device", "show", laptop.user, device_id])).toMatchObject({
      verified: true,
      verified_by: "cross_signing",
    });
    expect(await they.exec(["echo", "signed"])).toMatchObject({ code: 0, stdout: "signed\n" });
  });
});

describe("an agent's key and its device", () => {
  const approve = (fingerprint: string, device: string) =>
    they.laptop.run([
      ...["trust", "approve", "builder", "--room", they.room],
      ...["--fingerprint", fingerprint, "--device-fingerprint", device],
    ]);

  test("are approved and verified in one step; where either is another, neither is", async () => {
    const { laptop, builder, room } = they;
    const { device_id, fingerprint: device } = await own(builder);
    const { fingerprint } = await builder.ask<{ fingerprint: string }>(["trust", "fingerprint"]);
    await laptop.ask(["auth", "cross-signing", "reset", "--yes", "--password-stdin"], {
      stdin: `${laptop.password}\n`,
    });
    await laptop.ask(["device", "unverify", builder.user, device_id]);
    const revoked = await laptop.run(["trust", "revoke", "builder", "--room", room]);
    expect(revoked.stderr).toContain(`workspace remove ${builder.user}`);
    const { without } = await laptop.ask<{ without: unknown[] }>(["workspace", "keys", "--room", room]);
    expect(without).toMatchObject([{ user_id: builder.user, why: "revoked" }]);

    const wrong = (await own(laptop)).fingerprint;
    expect(await approve(fingerprint, wrong)).toMatchObject({ code: 65 });
    const trusted = await laptop.ask<{ status: string }[]>(["trust", "list"]);
    expect(trusted.filter(({ status }) => status === "trusted")).toEqual([]);
    expect(await approve(fingerprint, device)).toMatchObject({ code: 0 });
    expect(await verified(laptop, builder)).toBe(true);
  });

  test("are worth nothing to whoever verified an identity that was replaced since, until it is verified again", async () => {
    const { laptop, builder, room } = they;
    const { device_id, fingerprint } = await own(laptop);
    expect(await verified(builder, laptop)).toBe(false);
    const { without } = await builder.ask<{ without: unknown[] }>(["workspace", "keys", "--room", room]);
    expect(without).toMatchObject([{ user_id: laptop.user, why: "identity_changed" }]);
    await builder.ask(["device", "verify", laptop.user, device_id, "--fingerprint", fingerprint]);
    expect(await they.exec(["echo", "again"])).toMatchObject({ code: 0, stdout: "again\n" });
    const ends = await compareDevices({ starting: "yes\n", accepting: "yes\n" });
    for (const end of ends) expect(end).toMatchObject({ code: 0 });
  });
});

describe("recovery", () => {
  let key: string;
  let replacement: Machine | undefined;
  afterAll(() => replacement?.close());

  test("shows its key once, and keeps it in no file of the machine, the daemon's log among them", async () => {
    const { builder } = they;
    await builder.ask(["auth", "cross-signing", "bootstrap"]);
    expect(await builder.run(["recovery", "status"])).toMatchObject({ code: 0 });
    const enabled = await builder.run(["recovery", "enable"]);
    expect(enabled.code).toBe(0);
    key = /recovery key: (.*)/.exec(enabled.stdout)?.[1] ?? "";
    expect(key).toMatch(/^(\w{4} ){11}\w{4}$/);
    expect(await builder.run(["recovery", "enable"])).toMatchObject({ code: 65 });
    const files = await readdir(builder.home, { recursive: true, withFileTypes: true });
    const forms = [key, key.replaceAll(" ", ""), key.slice(0, 14)];
    for (const file of files.filter((entry) => entry.isFile())) {
      const content = await readFile(join(file.parentPath, file.name));
      expect([file.name, forms.some((form) => content.includes(form))]).toEqual([file.name, false]);
    }
  });

  test("on a new machine makes it a signed device that reads what came before, with the key alone", async () => {
    const { builder, laptop, homeserver } = they;
    await eventually(async () => {
      const { room_keys, room_keys_backed_up } = await builder.ask<RecoveryStatus>(["recovery", "status"]);
      return room_keys > 0 && room_keys === room_keys_backed_up;
    });
    replacement = await newMachine({ name: "second", homeserver });
    await replacement.startDaemon();
    await replacement.ask(
      ["auth", "login", "--homeserver", homeserver.url, "--user", builder.user, "--password-stdin"],
      { stdin: `${builder.password}\n` },
    );
    const undecryptable = async () =>
      (await replacement?.ask<{ undecryptable: number }>(["daemon", "status"]))?.undecryptable ?? -1;
    await eventually(async () => (await undecryptable()) > 0);
    const recover = ["recovery", "recover", "--key-stdin"];
    const wrong = await replacement.run(recover, { stdin: `${key.slice(0, -4)}aaaa\n` });
    expect(wrong).toMatchObject({ code: 65 });
    expect(wrong.stderr).not.toContain(key.slice(0, 9));
    await replacement.ask(recover, { stdin: `${key}\n` });
    await eventually(async () => (await undecryptable()) === 0);
    expect(await replacement.ask(["auth", "cross-signing", "status"])).toMatchObject({
      state: "ready",
      device_signed: true,
    });
    // The laptop had verified the account: the new device needs nobody's word any more.
    const { device_id } = await own(replacement);
    await eventually(async () => {
      const seen = await laptop.run(["device", "show", builder.user, device_id, "--json"]);
      return seen.code === 0 && JSON.parse(seen.stdout).verified_by === "cross_signing";
    });
  });

  test("can be disabled, and its key then opens nothing", async () => {
    expect(await they.builder.run(["recovery", "disable"])).toMatchObject({ code: 77 });
    expect(await they.builder.ask(["recovery", "disable", "--yes"])).toEqual({ was_enabled: true });
    const recovered = await they.builder.run(["recovery", "recover", "--key-stdin"], { stdin: `${key}\n` });
    expect(recovered.code).toBe(3);
  });

  test("a reset of the identity wants the password, says so when it was interrupted, and is offered again", async () => {
    const { builder } = they;
    expect(await builder.run(["auth", "cross-signing", "reset", "--yes"])).toMatchObject({ code: 77 });
    const status = await builder.run(["auth", "cross-signing", "status"]);
    expect(status.stdout).toMatch(/interrupted; run/);
    expect((await builder.run(["daemon", "status"])).stdout).toMatch(/cross-signing/);
    const reset = ["auth", "cross-signing", "reset", "--yes", "--password-stdin"];
    expect(await builder.ask(reset, { stdin: `${builder.password}\n` })).toMatchObject({ state: "ready" });
    expect((await builder.run(["daemon", "status"])).stdout).not.toMatch(/cross-signing/);
  });
});

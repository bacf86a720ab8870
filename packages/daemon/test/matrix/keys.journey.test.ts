import { expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import type { Comparison } from "../../src/matrix/keys/verification.ts";
import { keyWarnings } from "../../src/matrix/keys/warnings.ts";
import type { Alarm } from "../../src/matrix/types.ts";
import { newUser, REQUEST, request, send, type TestMachine } from "./helpers.ts";
import { ownSite } from "./own-site.ts";

const { server, site, proxy } = ownSite();

const keysOf = ({ session }: TestMachine) => session.keys;

/** A person at one side of a comparison, who writes down what is shown and says what he was told to, or leaves. */
function person(does: "yes" | "no" | "wait" | "leave") {
  const shown: string[] = [];
  const left = new AbortController();
  const comparison: Comparison = {
    signal: left.signal,
    onStage: async (stage) => {
      if (stage.type !== "compare") return;
      shown.push(JSON.stringify([stage.emoji, stage.decimal]));
      if (does === "leave") left.abort(new Error("the person has left"));
    },
    answer: () => (does === "wait" ? new Promise<boolean>(() => {}) : Promise.resolve(does === "yes")),
  };
  return { shown, comparison };
}

/** Two in a room who have read each other, and so know each other's devices. */
async function acquainted(builder: { alarm?: Alarm } = {}) {
  const they = await site.twoInARoom({ encrypted: true }, builder);
  for (const [from, to] of [
    [they.laptop, they.builder],
    [they.builder, they.laptop],
  ] as const) {
    await send(from, request(they.room_id, { from: from.credentials.user_id }));
    await to.event(({ type, sender }) => type === REQUEST && sender === from.credentials.user_id);
  }
  return they;
}

const verified = async (who: TestMachine, whose: TestMachine) =>
  (await keysOf(who).devices.find(whose.credentials.user_id, whose.credentials.device_id)).verified;

test("two people who compare what both screens show have verified each other's device", async () => {
  const { laptop, builder } = await acquainted();
  const [starting, accepting] = [person("yes"), person("yes")];
  expect(await verified(laptop, builder)).toBe(false);
  const accepted = keysOf(builder).verifications.accept(
    laptop.credentials.user_id,
    null,
    accepting.comparison,
  );
  const { user_id, device_id } = builder.credentials;
  await keysOf(laptop).verifications.start(user_id, device_id, starting.comparison);
  expect(await accepted).toEqual({
    user_id: laptop.credentials.user_id,
    device_id: laptop.credentials.device_id,
  });
  expect(starting.shown).toEqual(accepting.shown);
  expect(await verified(laptop, builder)).toBe(true);
  expect(await verified(builder, laptop)).toBe(true);
});

test("a no on either side, or somebody who leaves, verifies nothing, and both are told", async () => {
  const { laptop, builder } = await acquainted();
  const { user_id, device_id } = builder.credentials;
  for (const [one, other] of [
    [person("no"), person("wait")],
    [person("wait"), person("no")],
    [person("yes"), person("leave")],
  ] as const) {
    const ends = await Promise.allSettled([
      keysOf(builder).verifications.accept(null, null, other.comparison),
      keysOf(laptop).verifications.start(user_id, device_id, one.comparison),
    ]);
    expect(ends.map((end) => end.status)).toEqual(["rejected", "rejected"]);
    expect(await verified(laptop, builder)).toBe(false);
    expect(await verified(builder, laptop)).toBe(false);
    expect(keysOf(builder).verifications.pending()).toEqual([]);
  }
});

test("who is asked by a device that he has never heard of can accept all the same", async () => {
  const [laptop, builder] = await Promise.all([site.machine(), site.machine()]);
  await Promise.all([laptop.session.ready(), builder.session.ready()]);
  const { user_id, device_id } = builder.credentials;
  const started = keysOf(laptop).verifications.start(user_id, device_id, person("yes").comparison);
  await keysOf(builder).verifications.accept(laptop.credentials.user_id, null, person("yes").comparison);
  await started;
  expect(await verified(laptop, builder)).toBe(true);
  expect(await verified(builder, laptop)).toBe(true);
});

test("two people have five minutes for all of it; who says yes after that has verified nothing", async () => {
  const late = Promise.withResolvers<() => void>();
  const asked: number[] = [];
  const alarm: Alarm = (ms, ring) => {
    asked.push(ms);
    late.resolve(ring);
    return () => undefined;
  };
  const they = await acquainted({ alarm });
  const { user_id, device_id } = they.builder.credentials;
  const answered = Promise.withResolvers<boolean>();
  const undecided = person("yes");
  const accepted = keysOf(they.builder).verifications.accept(null, null, {
    ...undecided.comparison,
    answer: () => answered.promise,
  });
  const started = keysOf(they.laptop).verifications.start(user_id, device_id, person("yes").comparison);
  const ends = Promise.allSettled([accepted, started]);
  await eventually(() => undecided.shown.length > 0);
  (await late.promise)();
  answered.resolve(true);
  expect(asked).toEqual([300_000]);
  expect(await ends).toMatchObject([
    { reason: { code: "MX_NOT_VERIFIED", message: expect.stringContaining("longer than 5 minutes") } },
    { reason: { code: "MX_NOT_VERIFIED" } },
  ]);
  expect(await verified(they.laptop, they.builder)).toBe(false);
  expect(await verified(they.builder, they.laptop)).toBe(false);
});

test("cross-signing keys are made once, sign this device, and are not made again", async () => {
  const laptop = await site.machine();
  expect(await keysOf(laptop).crossSigning.status()).toMatchObject({ state: "none", device_signed: false });
  const made = await keysOf(laptop).crossSigning.bootstrap(null);
  expect(made).toMatchObject({ state: "ready", device_signed: true });
  expect(await keysOf(laptop).crossSigning.bootstrap(null)).toEqual(made);
  await laptop.restart();
  expect(await keysOf(laptop).crossSigning.status()).toEqual(made);
});

test("replacing them needs the password; a reset that was interrupted says so, and can be done again", async () => {
  const account = await newUser(server);
  const laptop = await site.machine(account);
  const { crossSigning } = keysOf(laptop);
  const { fingerprint } = await crossSigning.bootstrap(null);
  await expect(crossSigning.reset(null)).rejects.toMatchObject({ code: "MX_PASSWORD_NEEDED" });
  expect(await crossSigning.status()).toMatchObject({ state: "interrupted" });
  await expect(crossSigning.reset("wrong")).rejects.toMatchObject({ code: "MX_PASSWORD_NEEDED" });
  await laptop.restart();
  expect(await keysOf(laptop).crossSigning.status()).toMatchObject({ state: "interrupted" });
  const renewed = await keysOf(laptop).crossSigning.bootstrap(account.password);
  expect(renewed).toMatchObject({ state: "ready", device_signed: true });
  expect(renewed.fingerprint).not.toBe(fingerprint);
});

test("on a new machine the recovery key alone makes old messages readable, and the device cross-signed", async () => {
  const account = await newUser(server);
  const { laptop, builder, room_id } = await site.twoInARoom({ encrypted: true }, account);
  await keysOf(builder).crossSigning.bootstrap(null);
  await send(laptop, request(room_id, { n: 1 }));
  await builder.event(({ type }) => type === REQUEST);
  const { recovery_key } = await keysOf(builder).recovery.enable(false);
  await eventually(async () => {
    const { room_keys, room_keys_backed_up } = await keysOf(builder).recovery.status();
    return room_keys > 0 && room_keys_backed_up === room_keys;
  });
  await builder.close();

  const replacement = await site.machine(account);
  await replacement.session.ready();
  await eventually(() => replacement.session.undecryptable() > 0);
  expect(await keysOf(replacement).crossSigning.status()).toMatchObject({
    state: "elsewhere",
    device_signed: false,
  });
  const nearly = `${recovery_key.slice(0, -1)}${recovery_key.endsWith("a") ? "b" : "a"}`;
  await expect(keysOf(replacement).recovery.recover(nearly)).rejects.toMatchObject({ code: "MX_BAD_INPUT" });
  expect(await keysOf(replacement).recovery.recover(recovery_key)).toMatchObject({
    enabled: true,
    backup_active: true,
    imported: 1,
  });
  expect(await replacement.event(({ type }) => type === REQUEST)).toMatchObject({ content: { n: 1 } });
  expect(replacement.session.undecryptable()).toBe(0);
  expect(await keysOf(replacement).crossSigning.status()).toMatchObject({
    state: "ready",
    device_signed: true,
  });
});

test("a machine that stops while it sets recovery up says so, and sets it up anew: nobody has the key that was made", async () => {
  const laptop = await site.machine({ url: proxy.url });
  await keysOf(laptop).crossSigning.bootstrap(null);
  // The secrets are there already, and under a key of which nobody will hear.
  const reached = Promise.withResolvers<void>();
  const stop = proxy.on(({ method, path }) => {
    if (method !== "POST" || !path.includes("/room_keys/version")) return undefined;
    reached.resolve();
    return { kind: "hang" };
  });
  const first = keysOf(laptop).recovery.enable(false);
  first.catch(() => undefined);
  await reached.promise;
  await laptop.restart();
  stop();
  await expect(first).rejects.toThrow();
  await laptop.session.ready();
  expect(keyWarnings(laptop.session).join()).toContain("recovery enable");
  const { recovery_key, ...status } = await keysOf(laptop).recovery.enable(false);
  expect(status).toMatchObject({ enabled: true, backup_active: true, cross_signing_stored: true });
  expect(keyWarnings(laptop.session)).toEqual([]);
  await expect(keysOf(laptop).recovery.enable(false)).rejects.toMatchObject({ code: "MX_BAD_INPUT" });
  expect(await keysOf(laptop).recovery.recover(recovery_key)).toMatchObject({ backup_active: true });
});

test("disabling recovery leaves nothing on the server that a recovery key opens", async () => {
  const laptop = await site.machine();
  const { crossSigning, recovery } = keysOf(laptop);
  await expect(recovery.enable(false)).rejects.toMatchObject({ code: "MX_BAD_INPUT" });
  await crossSigning.bootstrap(null);
  const { recovery_key } = await recovery.enable(false);
  await expect(recovery.enable(false)).rejects.toMatchObject({ code: "MX_BAD_INPUT" });
  const { recovery_key: newer } = await recovery.enable(true);
  await expect(recovery.recover(recovery_key)).rejects.toMatchObject({ code: "MX_BAD_INPUT" });
  expect(await recovery.disable()).toBe(true);
  expect(await recovery.status()).toMatchObject({
    enabled: false,
    backup_version: null,
    backup_active: false,
  });
  await expect(recovery.recover(newer)).rejects.toMatchObject({ code: "MX_NOT_FOUND" });
  expect(await recovery.disable()).toBe(false);
});

import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { canonicalJson } from "../src/e2ee/signatures.ts";
import { twoPeople } from "./support/two-people.ts";
import type { User } from "./support/users.ts";

let alice: User;
let bob: User;

twoPeople((they) => {
  ({ alice, bob } = they);
});

const oneTimeKeys = (count: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`signed_curve25519:K${i}`, { key: `otk ${i}`, signatures: {} }]),
  );

async function claim(asker: User, owner: User): Promise<string | undefined> {
  const wanted = { one_time_keys: { [owner.id]: { [owner.deviceId]: "signed_curve25519" } } };
  const { body } = await asker.post("/keys/claim", wanted);
  const users = body.one_time_keys as Record<string, Record<string, Record<string, { key: string }>>>;
  return Object.values(users[owner.id]?.[owner.deviceId] ?? {})[0]?.key;
}

describe("one-time keys", () => {
  it("are handed out once, however many ask at the same time; then the fallback key serves", async () => {
    await bob.post("/keys/upload", {
      one_time_keys: oneTimeKeys(20),
      fallback_keys: { "signed_curve25519:F": { key: "fallback", fallback: true, signatures: {} } },
    });
    expect((await bob.sync()).device_unused_fallback_key_types).toEqual(["signed_curve25519"]);
    const claimed = await Promise.all(Array.from({ length: 25 }, () => claim(alice, bob)));
    const single = claimed.filter((key) => key !== "fallback");
    expect(new Set(single).size).toBe(20);
    expect(single).toHaveLength(20);
    expect(claimed.filter((key) => key === "fallback")).toHaveLength(5);
    const sync = await bob.sync();
    expect(sync.device_one_time_keys_count).toEqual({ signed_curve25519: 0 });
    expect(sync.device_unused_fallback_key_types).toEqual([]);
  });

  it("may be uploaded again, but not changed", async () => {
    expect((await bob.post("/keys/upload", { one_time_keys: oneTimeKeys(2) })).body).toEqual({
      one_time_key_counts: { signed_curve25519: 2 },
    });
    expect((await bob.post("/keys/upload", { one_time_keys: oneTimeKeys(3) })).body).toEqual({
      one_time_key_counts: { signed_curve25519: 3 },
    });
    const other = {
      one_time_keys: { "signed_curve25519:K9": { key: "new" }, "signed_curve25519:K1": { key: "other" } },
    };
    expect((await bob.post("/keys/upload", other)).status).toBe(400);
    expect((await bob.post("/keys/upload", {})).body).toEqual({
      one_time_key_counts: { signed_curve25519: 3 },
    });
  });

  it("are handed out once, also where their upload is tried again after they went", async () => {
    const upload = { one_time_keys: oneTimeKeys(3) };
    await bob.post("/keys/upload", upload);
    const first = await claim(alice, bob);
    const again = await bob.post("/keys/upload", upload);
    expect(again).toMatchObject({ status: 200, body: { one_time_key_counts: { signed_curve25519: 2 } } });
    const later = [await claim(alice, bob), await claim(alice, bob)];
    expect(new Set([first, ...later]).size).toBe(3);
    expect((await bob.post("/keys/upload", upload)).body).toEqual({
      one_time_key_counts: { signed_curve25519: 0 },
    });
    expect(await claim(alice, bob)).toBeUndefined();
    // Another key is another key, whatever it is called.
    await bob.post("/keys/upload", {
      one_time_keys: { "signed_curve25519:K0": { key: "anew", signatures: {} } },
    });
    expect(await claim(alice, bob)).toBe("anew");
  });

  it("go out in the order in which they were uploaded", async () => {
    const names = ["z", "B", "a", "9", "/"];
    for (const name of names)
      await bob.post("/keys/upload", {
        one_time_keys: { [`signed_curve25519:${name}`]: { key: name, signatures: {} } },
      });
    for (const name of names) expect(await claim(alice, bob)).toBe(name);
  });

  it("of nobody and of a device without any are simply not there", async () => {
    expect(await claim(alice, bob)).toBeUndefined();
  });
});

const deviceKeys = (user: User) => ({
  user_id: user.id,
  device_id: user.deviceId,
  algorithms: ["m.olm.v1.curve25519-aes-sha2"],
  keys: { [`ed25519:${user.deviceId}`]: `ed25519 of ${user.deviceId}` },
  signatures: { [user.id]: { [`ed25519:${user.deviceId}`]: "self" } },
});

/** An Ed25519 key as Matrix names it, and what it signs. */
class Key {
  readonly id: string;
  readonly #secret: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    this.id = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url")
      .toString("base64")
      .replace(/=/g, "");
    this.#secret = privateKey;
  }

  /** The signature on an object, without what it is signed by already. */
  over(object: object): string {
    const { signatures: _, ...rest } = object as { signatures?: object };
    return sign(null, Buffer.from(canonicalJson(rest)), this.#secret)
      .toString("base64")
      .replace(/=/g, "");
  }

  signs<T extends object>(user: User, object: T, name = this.id): T & { signatures: object } {
    return { ...object, signatures: { [user.id]: { [`ed25519:${name}`]: this.over(object) } } };
  }
}

const crossKey = (user: User, usage: string, key: Key) => ({
  user_id: user.id,
  usage: [usage],
  keys: { [`ed25519:${key.id}`]: key.id },
});

const auth = (user: User, session: unknown, password = "secret") => ({
  type: "m.login.password",
  identifier: { type: "m.id.user", user: user.id },
  password,
  session,
});

describe("device keys", () => {
  it("are for one's own device only", async () => {
    const keys = deviceKeys(alice);
    expect((await bob.post("/keys/upload", { device_keys: keys })).status).toBe(400);
    expect((await alice.post("/keys/upload", { device_keys: keys })).status).toBe(200);
    const { body } = await bob.post("/keys/query", { device_keys: { [alice.id]: [] } });
    expect(body.device_keys).toMatchObject({ [alice.id]: { [alice.deviceId]: keys } });
  });

  it("go with the device", async () => {
    const phone = await alice.device("PHONE");
    await phone.post("/keys/upload", { device_keys: deviceKeys(phone), one_time_keys: oneTimeKeys(3) });
    await phone.post("/logout");
    const { body } = await bob.post("/keys/query", { device_keys: { [alice.id]: [] } });
    expect(body.device_keys).toEqual({ [alice.id]: {} });
    expect(await claim(bob, phone)).toBeUndefined();
  });
});

describe("cross-signing keys", () => {
  const upload = (key: Key) => ({ master_key: crossKey(alice, "master", key) });
  const path = "/keys/device_signing/upload";

  it("come without a password the first time, and not the second", async () => {
    const [first, second] = [new Key(), new Key()];
    expect((await alice.post(path, upload(first))).status).toBe(200);
    expect((await alice.post(path, upload(first))).status).toBe(200);
    const asked = await alice.post(path, upload(second));
    expect(asked).toMatchObject({ status: 401, body: { flows: [{ stages: ["m.login.password"] }] } });
    const { session } = asked.body;
    const wrong = await alice.post(path, { ...upload(second), auth: auth(alice, session, "x") });
    expect(wrong).toMatchObject({ status: 401, body: { errcode: "M_FORBIDDEN" } });
    const master = async () => {
      const { body } = await bob.post("/keys/query", { device_keys: { [alice.id]: [] } });
      return (body.master_keys as Record<string, { keys: object }>)[alice.id]?.keys;
    };
    expect(await master()).toEqual({ [`ed25519:${first.id}`]: first.id });
    await alice.post(path, { ...upload(second), auth: auth(alice, session) });
    expect(await master()).toEqual({ [`ed25519:${second.id}`]: second.id });
  });

  it("belong to the master key by its signature", async () => {
    const [master, self, stranger] = [new Key(), new Key(), new Key()];
    const key = crossKey(alice, "self_signing", self);
    for (const self_signing_key of [key, stranger.signs(alice, key), stranger.signs(alice, key, master.id)]) {
      expect(await alice.post(path, { ...upload(master), self_signing_key })).toMatchObject({
        status: 400,
        body: { errcode: "M_INVALID_SIGNATURE" },
      });
    }
    const signed = { ...upload(master), self_signing_key: master.signs(alice, key) };
    expect((await alice.post(path, signed)).status).toBe(200);
  });

  it("user-signing keys and others' signatures are shown to their owner alone", async () => {
    const [am, au, bm] = [new Key(), new Key(), new Key()];
    await alice.post(path, {
      ...upload(am),
      user_signing_key: am.signs(alice, crossKey(alice, "user_signing", au)),
    });
    await bob.post(path, { master_key: crossKey(bob, "master", bm) });
    const signed = au.signs(alice, crossKey(bob, "master", bm));
    const answer = await alice.post("/keys/signatures/upload", { [bob.id]: { [bm.id]: signed } });
    expect(answer.body).toEqual({ failures: {} });
    const asked = { device_keys: { [alice.id]: [], [bob.id]: [] } };
    const [mine, theirs] = await Promise.all([
      alice.post("/keys/query", asked),
      bob.post("/keys/query", asked),
    ]);
    const signature = au.over(signed);
    expect(JSON.stringify(mine.body)).toContain(signature);
    expect(mine.body.user_signing_keys).toHaveProperty([alice.id]);
    expect(JSON.stringify(theirs.body)).not.toContain(signature);
    expect(theirs.body.user_signing_keys).toEqual({});
  });

  it("a signature on a device is shown to all, and counts as a change of its list", async () => {
    const [am, as] = [new Key(), new Key()];
    await alice.post("/keys/upload", { device_keys: deviceKeys(alice) });
    await alice.post(path, {
      ...upload(am),
      self_signing_key: am.signs(alice, crossKey(alice, "self_signing", as)),
    });
    const room = await alice.room({ preset: "public_chat" });
    await bob.post(`/join/${room}`);
    const { next_batch: since } = await bob.sync();
    const signed = as.signs(alice, deviceKeys(alice));
    await alice.post("/keys/signatures/upload", { [alice.id]: { [alice.deviceId]: signed } });
    expect((await bob.sync(since)).device_lists?.changed).toContain(alice.id);
    const { body } = await bob.post("/keys/query", { device_keys: { [alice.id]: [] } });
    expect(body.device_keys).toMatchObject({
      [alice.id]: { [alice.deviceId]: { signatures: signed.signatures } },
    });
  });

  it("signatures that are wrong, or on what is not there, or not the same, are refused one by one", async () => {
    const [am, as] = [new Key(), new Key()];
    await alice.post("/keys/upload", { device_keys: deviceKeys(alice) });
    await alice.post(path, {
      ...upload(am),
      self_signing_key: am.signs(alice, crossKey(alice, "self_signing", as)),
    });
    const refused = async (name: string, object: object) => {
      const { body } = await alice.post("/keys/signatures/upload", { [alice.id]: { [name]: object } });
      const failures = body.failures as Record<string, Record<string, { errcode: string }>>;
      return failures[alice.id]?.[name]?.errcode;
    };
    const other = { ...deviceKeys(alice), keys: { [`ed25519:${alice.deviceId}`]: "another key" } };
    expect(await refused(alice.deviceId, as.signs(alice, other))).toBe("M_INVALID_SIGNATURE");
    expect(await refused(alice.deviceId, new Key().signs(alice, deviceKeys(alice), as.id))).toBe(
      "M_INVALID_SIGNATURE",
    );
    expect(await refused(alice.deviceId, new Key().signs(alice, deviceKeys(alice)))).toBe(
      "M_INVALID_SIGNATURE",
    );
    expect(await refused(alice.deviceId, {})).toBe("M_INVALID_SIGNATURE");
    expect(await refused("NOWHERE", as.signs(alice, deviceKeys(alice)))).toBe("M_NOT_FOUND");
    expect(await refused(alice.deviceId, as.signs(alice, deviceKeys(alice)))).toBeUndefined();
  });
});

describe("key backup", () => {
  const algorithm = "m.megolm_backup.v1.curve25519-aes-sha2";
  const key = (index: number, more = {}) => ({
    first_message_index: index,
    forwarded_count: 0,
    is_verified: false,
    session_data: { ciphertext: `at ${index}` },
    ...more,
  });
  const create = async () =>
    String(
      (await alice.post("/room_keys/version", { algorithm, auth_data: { public_key: "p" } })).body.version,
    );

  it("keeps the better of two keys of a session", async () => {
    const version = await create();
    const path = `/room_keys/keys/!r:localhost/s1?version=${version}`;
    const put = async (data: object) => {
      await alice.put(path, data);
      return (await alice.get(path)).body;
    };
    expect(await put(key(5))).toEqual(key(5));
    expect(await put(key(7))).toEqual(key(5));
    expect(await put(key(3))).toEqual(key(3));
    expect(await put(key(3, { forwarded_count: 1 }))).toEqual(key(3));
    expect(await put(key(9, { is_verified: true }))).toEqual(key(9, { is_verified: true }));
    expect(await put(key(0))).toEqual(key(9, { is_verified: true }));
  });

  it("counts its keys, and its etag changes with them", async () => {
    const version = await create();
    const rooms = { "!a:x": { sessions: { s1: key(0), s2: key(0) } }, "!b:x": { sessions: { s3: key(0) } } };
    const added = await alice.put(`/room_keys/keys?version=${version}`, { rooms });
    expect(added.body.count).toBe(3);
    expect((await alice.put(`/room_keys/keys?version=${version}`, { rooms })).body).toEqual(added.body);
    expect((await alice.get(`/room_keys/keys?version=${version}`)).body).toEqual({ rooms });
    const deleted = await alice.delete(`/room_keys/keys/!a:x?version=${version}`);
    expect(deleted.body.count).toBe(1);
    expect(deleted.body.etag).not.toBe(added.body.etag);
  });

  it("takes keys into the current version only, and says which that is", async () => {
    const old = await create();
    const current = await create();
    expect(await alice.put(`/room_keys/keys/!r:x/s?version=${old}`, key(0))).toMatchObject({
      status: 403,
      body: { errcode: "M_WRONG_ROOM_KEYS_VERSION", current_version: current },
    });
    await alice.delete(`/room_keys/version/${current}`);
    expect((await alice.get("/room_keys/version")).body.version).toBe(old);
    expect(Number(await create())).toBeGreaterThan(Number(current));
  });

  it("is nobody else's", async () => {
    const version = await create();
    await alice.put(`/room_keys/keys/!r:x/s?version=${version}`, key(0));
    expect((await bob.get(`/room_keys/keys?version=${version}`)).status).toBe(404);
    expect((await bob.get("/room_keys/version")).status).toBe(404);
  });
});

it("dehydrated devices are refused clearly", async () => {
  const path = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
  expect(await alice.get(path)).toMatchObject({ status: 404, body: { errcode: "M_UNRECOGNIZED" } });
});

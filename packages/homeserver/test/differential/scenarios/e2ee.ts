import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { enc, type Person, passwordOf, type Scenario } from "../story.ts";
import { passwordAuth } from "./start.ts";

type Json = Record<string, unknown>;

/** An Ed25519 key from a fixed seed, so that both servers see the same bytes. */
function keyOf(seed: number): { key: KeyObject; public: string } {
  const pkcs8 = Buffer.concat([
    Buffer.from("302e020100300506032b657004220420", "hex"),
    Buffer.alloc(32, seed),
  ]);
  const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const raw = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
  return { key, public: unpadded(raw) };
}

const unpadded = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64").replaceAll("=", "");

/** Canonical JSON of the plain objects in here: sorted keys, no white space. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function signed(content: Json, user: string, keyId: string, key: KeyObject): Json {
  const { signatures, unsigned: _, ...bare } = content;
  const signature = unpadded(sign(null, Buffer.from(canonical(bare)), key));
  const others = (signatures ?? {}) as Record<string, Json>;
  return { ...content, signatures: { ...others, [user]: { ...others[user], [keyId]: signature } } };
}

function deviceKeys(person: Person, seed: number): Json {
  const { key, public: ed25519 } = keyOf(seed);
  const content = {
    user_id: person.id,
    device_id: person.device,
    algorithms: ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
    keys: {
      [`curve25519:${person.device}`]: unpadded(Buffer.alloc(32, seed + 1)),
      [`ed25519:${person.device}`]: ed25519,
    },
  };
  return signed(content, person.id, `ed25519:${person.device}`, key);
}

function oneTimeKey(person: Person, seed: number, n: number, fallback = false): Json {
  const { key } = keyOf(seed);
  const content = { key: unpadded(Buffer.alloc(32, n)), ...(fallback && { fallback: true }) };
  return signed(content, person.id, `ed25519:${person.device}`, key);
}

const sync = (person: Person, since?: string) =>
  person.get(
    `/sync?timeout=0&filter=${enc('{"room":{"timeline":{"limit":1}},"presence":{"types":[]},"account_data":{"types":[]}}')}${
      since === undefined ? "" : `&since=${enc(since)}`
    }`,
  );

export const e2ee: Scenario[] = [
  {
    name: "device and one-time keys",
    async play(story) {
      const [alice, bob, carol] = await story.people("alice", "bob", "carol");
      const bobs = `signed_curve25519`;
      await alice.post("/keys/upload", { device_keys: deviceKeys(alice, 1) });
      await bob.post("/keys/upload", {
        device_keys: deviceKeys(bob, 10),
        one_time_keys: {
          [`${bobs}:AAAAAA`]: oneTimeKey(bob, 10, 1),
          [`${bobs}:AAAAAB`]: oneTimeKey(bob, 10, 2),
        },
        fallback_keys: { [`${bobs}:FALL`]: oneTimeKey(bob, 10, 3, true) },
      });
      await bob.post("/keys/upload", {}, "the counts");
      await bob.post(
        "/keys/upload",
        {
          one_time_keys: { [`${bobs}:AAAAAA`]: oneTimeKey(bob, 10, 1) },
        },
        "the same key again",
      );
      await bob.post(
        "/keys/upload",
        {
          one_time_keys: { [`${bobs}:AAAAAA`]: oneTimeKey(bob, 10, 9) },
        },
        "another key of the same name",
      );
      await bob.post("/keys/upload", { device_keys: deviceKeys(alice, 1) }, "somebody else's keys");
      await bob.post("/keys/upload", { one_time_keys: [] });
      await alice.post("/keys/query", { device_keys: { [bob.id]: [] } });
      await alice.post("/keys/query", { device_keys: { [bob.id]: ["BOB"], [alice.id]: ["NONE"] } });
      await alice.post("/keys/query", { device_keys: { [carol.id]: [], [story.idOf("unknown")]: [] } });
      await alice.post("/keys/query", { device_keys: [] });
      await alice.post("/keys/query", {});
      const claim = { one_time_keys: { [bob.id]: { BOB: bobs } } };
      await sync(bob);
      // Which of the two is handed out first is the server's affair; both are, and then the fallback key.
      await alice.post("/keys/claim", claim, "a one-time key");
      await alice.post("/keys/claim", claim, "the other one");
      await alice.post("/keys/claim", claim, "the fallback key");
      await alice.post("/keys/claim", claim, "the fallback key again");
      await alice.post(
        "/keys/claim",
        { one_time_keys: { [carol.id]: { CAROL: bobs } } },
        "where there is none",
      );
      await alice.post("/keys/claim", { one_time_keys: [] });
      await sync(bob);
    },
  },
  {
    name: "device lists",
    async play(story) {
      const [alice, bob, carol] = await story.people("alice", "bob", "carol");
      const room = await alice.room({ preset: "public_chat" });
      await alice.post("/keys/upload", { device_keys: deviceKeys(alice, 1) });
      const start = await sync(alice);
      await bob.joined(room);
      await bob.post("/keys/upload", { device_keys: deviceKeys(bob, 10) });
      const joined = await sync(alice, start.position);
      await carol.post("/keys/upload", { device_keys: deviceKeys(carol, 20) });
      const unrelated = await sync(alice, joined.position);
      await alice.get(`/keys/changes?from=${enc(start.position)}&to=${enc(unrelated.position)}`);
      await bob.post(`/rooms/${enc(room)}/leave`, {});
      const left = await sync(alice, unrelated.position);
      await bob.put("/devices/BOB", { display_name: "renamed" });
      await sync(alice, left.position);
      await alice.get(`/keys/changes?from=${enc(unrelated.position)}&to=${enc(left.position)}`);
      await alice.get("/keys/changes?from=nonsense&to=nonsense");
      await alice.get("/keys/changes");
    },
  },
  {
    name: "cross-signing",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const [master, selfSigning, userSigning] = [keyOf(40), keyOf(41), keyOf(42)];
      const crossKey = (usage: string, key: { public: string }): Json => ({
        user_id: alice.id,
        usage: [usage],
        keys: { [`ed25519:${key.public}`]: key.public },
      });
      const byMaster = (content: Json) => signed(content, alice.id, `ed25519:${master.public}`, master.key);
      const keys = {
        master_key: crossKey("master", master),
        self_signing_key: byMaster(crossKey("self_signing", selfSigning)),
        user_signing_key: byMaster(crossKey("user_signing", userSigning)),
      };
      await alice.post("/keys/upload", { device_keys: deviceKeys(alice, 1) });
      await alice.post(
        "/keys/device_signing/upload",
        { self_signing_key: keys.self_signing_key },
        "no master key",
      );
      await alice.post("/keys/device_signing/upload", keys, "the first time");
      await alice.post("/keys/device_signing/upload", keys, "the same once more");
      const other = keyOf(43);
      const changed = { master_key: crossKey("master", other) };
      const asked = await alice.post("/keys/device_signing/upload", changed, "another master key");
      await alice.post(
        "/keys/device_signing/upload",
        {
          ...changed,
          auth: passwordAuth(story, "alice", asked.text("session"), "wrong"),
        },
        "with a wrong password",
      );
      await alice.post("/keys/query", { device_keys: { [alice.id]: [] } }, "one's own");
      await bob.post(
        "/keys/query",
        { device_keys: { [alice.id]: [] } },
        "somebody else's: no user-signing key",
      );
      const device = deviceKeys(alice, 1);
      const bad = signed(device, alice.id, `ed25519:${selfSigning.public}`, other.key);
      await alice.post("/keys/signatures/upload", { [alice.id]: { ALICE: bad } }, "a wrong signature");
      await alice.post("/keys/query", { device_keys: { [alice.id]: [] } }, "the wrong one is not there");
      const good = signed(device, alice.id, `ed25519:${selfSigning.public}`, selfSigning.key);
      await alice.post("/keys/signatures/upload", { [alice.id]: { ALICE: good } });
      await alice.post("/keys/signatures/upload", { [alice.id]: { NONE: good } }, "an unknown device");
      await alice.post("/keys/query", { device_keys: { [alice.id]: [] } }, "with the signature");
      await alice.post(
        "/keys/device_signing/upload",
        {
          master_key: crossKey("master", other),
          auth: passwordAuth(story, "alice", asked.text("session"), passwordOf("alice")),
        },
        "another master key, with the password",
      );
    },
  },
  {
    name: "to-device messages",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const phone = await story.device("bob", "PHONE");
      const start = await sync(bob);
      const phoneStart = await sync(phone);
      const send = (txn: string, messages: unknown, shows?: string) =>
        alice.put(`/sendToDevice/com.example.hello/${txn}`, { messages }, shows);
      await send("one", { [bob.id]: { BOB: { n: 1 } } });
      await send("one", { [bob.id]: { BOB: { n: 1 } } }, "the same transaction");
      await send("two", { [bob.id]: { "*": { n: 2 } } }, "all devices");
      await send("three", { [bob.id]: { NONE: { n: 3 } } }, "an unknown device");
      await send("four", { [story.idOf("unknown")]: { "*": {} } }, "an unknown user");
      await send("five", [], "no object");
      await alice.put("/sendToDevice/com.example.hello/six", {}, "no messages");
      await send("seven", { [alice.id]: { ALICE: { n: 7 } } }, "oneself");
      const first = await sync(bob, start.position);
      await sync(bob, start.position);
      await sync(bob, first.position);
      await sync(phone, phoneStart.position);
      await sync(alice);
    },
  },
  {
    name: "key backup",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const info = {
        algorithm: "m.megolm_backup.v1.curve25519-aes-sha2",
        auth_data: { public_key: unpadded(Buffer.alloc(32, 7)), signatures: {} },
      };
      const session = (n: number, change: object = {}) => ({
        first_message_index: n,
        forwarded_count: 0,
        is_verified: false,
        session_data: { ephemeral: "e", ciphertext: `c${n}`, mac: "m" },
        ...change,
      });
      await alice.get("/room_keys/version", "before there is one");
      const made = await alice.post("/room_keys/version", info);
      const version = made.text("version");
      await alice.get("/room_keys/version");
      await alice.get(`/room_keys/version/${version}`);
      await alice.get("/room_keys/version/999");
      const keys = (path: string) => `/room_keys/keys${path}?version=${version}`;
      await alice.put(keys("/!one:localhost/s1"), session(5));
      await alice.put(keys("/!one:localhost/s1"), session(9), "a worse key: from a later message on");
      await alice.get(keys("/!one:localhost/s1"));
      await alice.put(keys("/!one:localhost/s1"), session(9, { is_verified: true }), "a better key");
      await alice.put(keys("/!one:localhost"), { sessions: { s2: session(1), s3: session(2) } });
      await alice.put(keys(""), { rooms: { "!two:localhost": { sessions: { s4: session(0) } } } });
      await alice.get(keys(""));
      await alice.get(keys("/!one:localhost"));
      await alice.get(keys("/!none:localhost"));
      await alice.get(keys("/!one:localhost/none"));
      await bob.get(keys(""), "somebody else's");
      await alice.put("/room_keys/keys/!one:localhost/s1", session(1), "without a version");
      await alice.put("/room_keys/keys/!one:localhost/s1?version=999", session(1), "an unknown version");
      await alice.put(keys("/!one:localhost/s9"), { session_data: {} }, "an incomplete key");
      await alice.delete(keys("/!one:localhost/s1"));
      await alice.delete(keys("/!one:localhost"));
      await alice.get(keys(""));
      await alice.delete(keys(""));
      await alice.get(keys(""));
      await alice.put(`/room_keys/version/${version}`, { ...info, version, auth_data: { changed: "yes" } });
      await alice.put(`/room_keys/version/${version}`, { ...info, algorithm: "other" }, "another algorithm");
      await alice.put(`/room_keys/version/${version}`, { ...info, version: "999" }, "another version");
      const second = await alice.post("/room_keys/version", info);
      await alice.put(keys("/!one:localhost/s1"), session(1), "into an old version");
      await alice.delete(`/room_keys/version/${second.text("version")}`);
      await alice.get("/room_keys/version", "the one before is the current one again");
      await alice.delete("/room_keys/version/999");
      await alice.delete(`/room_keys/version/${version}`);
      await alice.get("/room_keys/version");
      await alice.post("/room_keys/version", {});
    },
  },
];

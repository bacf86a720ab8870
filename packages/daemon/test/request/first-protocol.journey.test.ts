/** A daemon of the first protocol as the one who executes: what it sends, in a plain room and in an encrypted one. */
import { randomBytes, sign } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { EventTypes, sha256Base64, signedBytes } from "@mx-agent/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type Machine, startMachine } from "../../../cli/test/support/machine.ts";
import { type Account, RawAccount } from "../hostile/support/account.ts";
import { EncryptedAccount } from "../hostile/support/encrypted-account.ts";
import { trust } from "../hostile/support/stage.ts";

let homeserver: TestHomeserver;
let laptop: Machine;
const closing: Account[] = [];
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  laptop = await startMachine({ name: "laptop", homeserver });
});
afterAll(async () => {
  await Promise.all(closing.map((account) => account.close()));
  await laptop?.close();
  await homeserver?.close();
});

type Old = RawAccount | EncryptedAccount;
let old: Old;
let room: string;

/** Takes an account of the first protocol into a new room. */
async function meet(name: string, one: Old, flags: string[]): Promise<void> {
  old = one;
  closing.push(old);
  const create = ["workspace", "create", name, ...flags, "--invite", old.user_id];
  room = (await laptop.ask<{ room_id: string }>(create)).room_id;
  await old.join(room);
  await laptop.ask(["workspace", "grant", old.user_id, "--level", "50", "--room", room]);
  await laptop.ask(["agent", "register", "--room", room, "--agent", "laptop"]);
  await old.announce(room, "old");
  await trust(laptop, room, "old", old.key, ["--legacy"]);
}

/** Signed, and bound to nothing. */
function send(type: string, content: object): Promise<string> {
  const { key_id, privateKey } = old.key;
  const sig = sign(null, signedBytes(content), privateKey).toString("base64");
  return old.send(room, type, { ...content, signature: { alg: "ed25519", key_id, sig } });
}

/** The next command that it is asked for runs there, and leaves this output as an artifact. */
async function ran(
  mark: string,
  output: Buffer,
  announced: (uploaded: Buffer) => object,
  by: Old = old,
): Promise<void> {
  const asked = await old.until(
    ({ type, content }) => type === EventTypes.execRequest && JSON.stringify(content).includes(mark),
  );
  const { invocation_id } = asked.content;
  await send(EventTypes.execAccepted, { invocation_id });
  const uploaded = Buffer.from(zstdCompressSync(output));
  const { mxc_uri, ...kept } = await by.upload(room, new Uint8Array(uploaded), "text/plain+zstd");
  await send(EventTypes.streamArtifact, {
    invocation_id,
    stream: "stdout",
    name: "stdout.zst",
    mime_type: "text/plain+zstd",
    mxc_uri,
    ...kept,
    tail_preview: "",
    ...announced(uploaded),
  });
  await send(EventTypes.execFinished, {
    invocation_id,
    exit_code: 0,
    signal: null,
    duration_ms: 5,
    stdout_bytes: output.length,
    stderr_bytes: 0,
    truncated: false,
    artifact_mxc: null,
  });
}

const exec = (mark: string) =>
  laptop.run(["exec", "--room", room, "--agent", "old", "--stdin", "none", "--", "echo", mark]);

describe.each([
  ["a plain room", () => RawAccount.register(homeserver, "old"), ["--no-e2ee"]],
  ["an encrypted room", () => EncryptedAccount.register(homeserver, "old"), []],
])("in %s", (_, register, flags) => {
  beforeAll(async () => meet(flags.length > 0 ? "farm" : "vault", await register(), flags));

  test("output that it uploaded is fetched, unpacked and shown whole", async () => {
    const output = Buffer.from(randomBytes(200_000).toString("hex"));
    const live = exec("large");
    await ran("large", output, (uploaded) => ({
      size_bytes: uploaded.length,
      sha256: sha256Base64(uploaded),
    }));
    const { code, stdout } = await live;
    expect(code).toBe(0);
    expect(stdout === output.toString()).toBe(true);
  });

  test("output that it uploaded plain is taken where the room is plain, and is 74 where it is encrypted", async () => {
    const stranger = await RawAccount.register(homeserver, "storage");
    const live = exec("plain");
    const announced = (uploaded: Buffer) => ({
      size_bytes: uploaded.length,
      sha256: sha256Base64(uploaded),
    });
    await ran("plain", Buffer.from("marigold\n"), announced, stranger);
    expect(await live).toMatchObject(
      flags.length > 0 ? { code: 0, stdout: "marigold\n" } : { code: 74, stdout: "" },
    );
  });

  test("output that is not what was announced is 74", async () => {
    const live = exec("other");
    await ran("other", Buffer.from("x".repeat(300_000)), (uploaded) => ({
      size_bytes: uploaded.length,
      sha256: sha256Base64(Buffer.from("something else")),
    }));
    const { code, stderr } = await live;
    expect(code).toBe(74);
    expect(stderr).toContain("MX_STREAM_INCOMPLETE");
  });
});

import { createDecipheriv, createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { plainRoom, type Site, siteOn, type TestMachine } from "./helpers.ts";

let server: TestHomeserver;
let site: Site;
let laptop: TestMachine;
let builder: TestMachine;
beforeAll(async () => {
  server = await startHomeserverForTests();
  site = siteOn(server);
  [laptop, builder] = await Promise.all([site.machine(), site.machine()]);
});
afterAll(async () => {
  await site?.closeMachines();
  await server?.close();
});

const MANY = 10_000_000;
const output = new Uint8Array(randomBytes(300_000));

async function roomOf(encrypted: boolean): Promise<string> {
  await laptop.session.ready();
  const room_id = await laptop.session.createRoom({ ...plainRoom, encrypted });
  await eventually(() => laptop.session.rooms.get(room_id));
  return room_id;
}

/** What the homeserver keeps, as somebody with its disk sees it. */
async function kept(mxc_uri: string): Promise<Buffer> {
  const response = await fetch(
    `${server.url}/_matrix/client/v1/media/download/${mxc_uri.slice("mxc://".length)}`,
    { headers: { authorization: `Bearer ${laptop.credentials.access_token}` } },
  );
  return Buffer.from(await response.arrayBuffer());
}

test("what is uploaded for an encrypted room can be read by whoever has its event, and not by the homeserver", async () => {
  const room_id = await roomOf(true);
  const sent = await laptop.session.media.upload(room_id, output, "text/plain");
  expect(Buffer.from(await builder.session.media.download(room_id, sent, MANY)).equals(output)).toBe(true);
  const cipher = await kept(sent.mxc_uri);
  expect(cipher).toHaveLength(output.length);
  expect(cipher.equals(output)).toBe(false);
  // Another implementation of the same, with what the event says.
  const file = sent.encrypted_file ?? expect.fail("it is not encrypted");
  expect(createHash("sha256").update(cipher).digest("base64").replace("=", "")).toBe(file.hashes.sha256);
  const key = Buffer.from(file.key.k, "base64url");
  const opened = createDecipheriv("aes-256-ctr", key, Buffer.from(file.iv, "base64"));
  expect(Buffer.concat([opened.update(cipher), opened.final()]).equals(output)).toBe(true);
});

test("no two uploads share a key", async () => {
  const room_id = await roomOf(true);
  const [one, two] = await Promise.all([
    laptop.session.media.upload(room_id, output, "text/plain"),
    laptop.session.media.upload(room_id, output, "text/plain"),
  ]);
  expect(one.encrypted_file?.key.k).not.toBe(two.encrypted_file?.key.k);
  expect(one.encrypted_file?.hashes.sha256).not.toBe(two.encrypted_file?.hashes.sha256);
});

test("in a plain room it goes as it is", async () => {
  const room_id = await roomOf(false);
  const sent = await laptop.session.media.upload(room_id, output, "text/plain");
  expect(sent.encrypted_file).toBeUndefined();
  expect((await kept(sent.mxc_uri)).equals(output)).toBe(true);
  expect(Buffer.from(await builder.session.media.download(room_id, sent, MANY)).equals(output)).toBe(true);
});

test("nothing at all can be sent as well", async () => {
  const room_id = await roomOf(true);
  const sent = await laptop.session.media.upload(room_id, new Uint8Array(), "text/plain");
  expect(await builder.session.media.download(room_id, sent, MANY)).toHaveLength(0);
});

test("what is plain is not taken in an encrypted room, however well it is announced", async () => {
  const [encrypted, plain] = [await roomOf(true), await roomOf(false)];
  const { media } = laptop.session;
  const sent = await media.upload(plain, output, "text/plain");
  await expect(media.download(encrypted, sent, MANY)).rejects.toMatchObject({
    code: "MX_BAD_INPUT",
    message: expect.stringContaining("plain"),
  });
  // Nor is anything sent for a room of which it is not known yet whether it is encrypted.
  await expect(media.upload(`!unknown:${server.name}`, output, "")).rejects.toMatchObject({
    code: "MX_NOT_FOUND",
  });
});

test("bytes that are not those announced are refused, encrypted or not", async () => {
  const { media } = laptop.session;
  const [encrypted, plain] = [await roomOf(true), await roomOf(false)];
  const [sent, other] = [
    await media.upload(encrypted, output, ""),
    await media.upload(encrypted, output, ""),
  ];
  const { encrypted_file, mxc_uri, ...rest } = sent;
  const file = encrypted_file ?? expect.fail("it is not encrypted");
  const swapped = { ...file, url: other.mxc_uri };
  await expect(media.download(encrypted, { ...sent, encrypted_file: swapped }, MANY)).rejects.toThrow(
    /digest/,
  );
  const wrongKey = { ...file, key: { ...file.key, k: randomBytes(32).toString("base64url") } };
  await expect(media.download(encrypted, { ...sent, encrypted_file: wrongKey }, MANY)).rejects.toThrow(
    /announced/,
  );
  const clear = await media.upload(plain, output.subarray(1), "");
  await expect(media.download(plain, { ...rest, mxc_uri: clear.mxc_uri }, MANY)).rejects.toThrow(/announced/);
});

test("more than was asked for is not read, whatever its event says of its size", async () => {
  const { media } = laptop.session;
  const room_id = await roomOf(false);
  const sent = await media.upload(room_id, output, "text/plain");
  await expect(media.download(room_id, sent, 1_000)).rejects.toMatchObject({ code: "MX_BAD_INPUT" });
  await expect(media.download(room_id, { ...sent, size_bytes: 10 }, 1_000)).rejects.toThrow(/limit/);
});

test("what is not there, and what is no media, is said", async () => {
  const room_id = await roomOf(false);
  const gone = { mxc_uri: `mxc://${server.name}/nosuchmedia`, sha256: "", size_bytes: 1 };
  await expect(laptop.session.media.download(room_id, gone, MANY)).rejects.toMatchObject({
    code: "MX_HOMESERVER_ERROR",
  });
  await expect(
    laptop.session.media.download(room_id, { ...gone, mxc_uri: "https://example.org/x" }, MANY),
  ).rejects.toMatchObject({ code: "MX_BAD_INPUT" });
});

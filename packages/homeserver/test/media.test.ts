import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { contentDisposition, safeContentType } from "../src/media/headers.ts";
import { testServer } from "./support/server.ts";
import { newUser, nobody, text, type User } from "./support/users.ts";
import { Witness } from "./support/witness.ts";

const witness = new Witness();
let dataDir: string;
let server: Homeserver;
let alice: User;
let bob: User;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "mx-homeserver-test-"));
  server = await testServer({ dataDir });
  [alice, bob] = await Promise.all([newUser(server, "alice"), newUser(server, "bob")]);
});
afterAll(async () => {
  await server.close();
  await rm(dataDir, { recursive: true });
  witness.expectRight(6);
});

async function upload(bytes: string, type: string, filename?: string): Promise<string> {
  const query = filename === undefined ? "" : `?filename=${encodeURIComponent(filename)}`;
  const answer = await alice.call("POST", `/_matrix/media/v3/upload${query}`, Buffer.from(bytes), {
    "content-type": type,
  });
  return text(answer, "content_uri").replace("mxc://localhost/", "");
}

const path = (id: string, more = "") => `/_matrix/client/v1/media/download/localhost/${id}${more}`;

it("what is uploaded comes back, to those with a token alone", async () => {
  const id = await upload("hello", "text/plain", "notes.txt");
  const answer = await bob.get(path(id));
  expect(Buffer.from(answer.bytes).toString()).toBe("hello");
  expect(answer.headers.get("content-disposition")).toBe("inline; filename=notes.txt");
  expect((await nobody(server).get(path(id))).status).toBe(401);
  const old = await witness.fetch(`${server.url}/_matrix/media/v3/download/localhost/${id}`);
  expect(old.status).toBe(404);
});

it("the same bytes are kept once, outside of the database", async () => {
  const count = async () =>
    (await readdir(join(dataDir, "media"), { recursive: true, withFileTypes: true })).filter((file) =>
      file.isFile(),
    ).length;
  await upload("the same", "text/plain");
  const before = await count();
  const [one, two] = await Promise.all([upload("the same", "text/plain"), upload("the same", "image/png")]);
  expect(one).not.toBe(two);
  expect(await count()).toBe(before);
});

describe("a browser never runs what was uploaded", () => {
  it.each([
    "text/html",
    "TEXT/HTML; charset=utf-8",
    "image/svg+xml",
    "application/xhtml+xml",
    "application/javascript",
    "text/javascript",
    "application/pdf",
    "text/xml",
    "multipart/mixed",
    "nonsense",
    "text/html\u00a0",
  ])("not as %s", async (type) => {
    const id = await upload("<script>alert(1)</script>", type);
    const { headers } = await bob.get(path(id));
    expect(headers.get("content-disposition")).toMatch(/^attachment/);
    expect(headers.get("content-type")).toBe("application/octet-stream");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toContain("sandbox");
  });

  it("a file name can't add a header", async () => {
    const id = await upload("x", "image/png", 'a"\r\nX-Evil: 1\r\n.png');
    const { headers } = await bob.get(path(id));
    expect(headers.get("x-evil")).toBeNull();
    expect(headers.get("content-disposition")).toMatch(/^inline; filename\*=utf-8''a%22%0D%0AX-Evil/);
    const other = await bob.get(path(id, "/..%2f..%2fetc%2fpasswd"));
    expect(other.headers.get("content-disposition")).toContain("..%2F..%2Fetc%2Fpasswd");
  });
});

it.each(["..", "%2e%2e%2fhomeserver.db", "..%2f..%2fhomeserver.db", "%00", "a".repeat(5_000)])(
  "the media id %s is not there",
  async (id) => {
    const response = await witness.fetch(server.url + path(id), {
      headers: { authorization: `Bearer ${alice.token}` },
    });
    expect(response.status).toBe(404);
  },
);

it("another server's media are not there", async () => {
  const id = await upload("x", "text/plain");
  expect((await bob.get(path(id).replace("/localhost/", "/elsewhere/"))).status).toBe(404);
});

it("an upload that breaks off leaves nothing behind", async () => {
  const temporary = async () =>
    (await readdir(join(dataDir, "media"))).filter((name) => name.startsWith(".upload"));
  const controller = new AbortController();
  const body = new ReadableStream<Uint8Array>({
    start(stream) {
      stream.enqueue(new Uint8Array(10_000));
    },
  });
  const request = witness
    .fetch(`${server.url}/_matrix/media/v3/upload`, {
      method: "POST",
      headers: { authorization: `Bearer ${alice.token}` },
      body,
      duplex: "half",
      signal: controller.signal,
    } as RequestInit)
    .catch(() => undefined);
  await expect.poll(async () => (await temporary()).length).toBe(1);
  controller.abort();
  await request;
  await expect.poll(async () => (await temporary()).length).toBe(0);
});

it("what a killed server left of unfinished uploads is gone after the next start", async () => {
  const directory = await mkdtemp(join(tmpdir(), "mx-homeserver-test-"));
  try {
    await mkdir(join(directory, "media"));
    await writeFile(join(directory, "media", ".upload-of-before"), "half");
    await (await testServer({ dataDir: directory })).close();
    expect(await readdir(join(directory, "media"))).toEqual([]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

it("types and names as headers", () => {
  expect(safeContentType("image/png")).toBe("image/png");
  expect(safeContentType("application/x-tar")).toBe("application/x-tar");
  expect(contentDisposition("application/x-tar", "é.tar")).toBe("attachment; filename*=utf-8''%C3%A9.tar");
  expect(contentDisposition("image/png", null)).toBe("inline");
});

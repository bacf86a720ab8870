import { expect, test } from "vitest";
import { RateLimitGate, requestClass, retryAfterMs } from "../../src/matrix/gate.ts";
import { guardedFetch } from "../../src/matrix/guarded-fetch.ts";
import type { Fetch } from "../../src/matrix/types.ts";

const SECRET = "!secret:example.org";
const base = "https://example.org/_matrix/client/v3";

function guarded(
  answer: Fetch = async () => Response.json({ event_id: "$1" }),
  durable: () => Promise<void> = async () => undefined,
) {
  const sent: string[] = [];
  const bodies: unknown[] = [];
  const fetch = guardedFetch({
    fetch: (input, init) => {
      sent.push(`${init?.method ?? "GET"} ${input}`);
      bodies.push(init?.body);
      return answer(input, init);
    },
    gate: new RateLimitGate(),
    clock: Date.now,
    isEncrypted: (room_id) => room_id === SECRET,
    seal: async (room_id, type, content) => ({
      type: "m.room.encrypted",
      content: { sealed: [room_id, type, content] },
    }),
    onSync: (body) => (body.startsWith("{") ? undefined : "it is not JSON"),
    durable,
    onClockSkew: () => undefined,
  });
  return { fetch, sent, bodies };
}

const put = (room_id: string, type: string) =>
  [
    `${base}/rooms/${encodeURIComponent(room_id)}/send/${encodeURIComponent(type)}/t1`,
    { method: "PUT", body: "{}" },
  ] as const;

test.each(["m.room.message", "com.mxagent.exec.request.v1", "m.room.encrypted.not", "m.room.redaction"])(
  "a plain %s never leaves for a room that is remembered as encrypted",
  async (type) => {
    const { fetch, sent } = guarded();
    await expect(fetch(...put(SECRET, type))).rejects.toThrow(/plain/);
    expect(sent).toEqual([]);
    await fetch(...put("!open:example.org", type));
    expect(sent).toHaveLength(1);
  },
);

test.each(["m.room.encrypted", "m.reaction"])("%s may go into an encrypted room", async (type) => {
  const { fetch, sent } = guarded();
  expect((await fetch(...put(SECRET, type))).status).toBe(200);
  expect(sent).toHaveLength(1);
});

test.each([
  ["m.key.verification.ready", { from_device: "A" }],
  ["m.room.message", { msgtype: "m.key.verification.request" }],
])(
  "a verification's %s goes into an encrypted room encrypted, under its own transaction",
  async (type, content) => {
    const { fetch, sent, bodies } = guarded();
    const [url] = put(SECRET, type);
    await fetch(url, { method: "PUT", body: JSON.stringify(content) });
    expect(sent).toEqual([`PUT ${put(SECRET, "m.room.encrypted")[0]}`]);
    expect(bodies).toEqual([JSON.stringify({ sealed: [SECRET, type, content] })]);
  },
);

test.each([
  ["PUT", "/rooms/!open:example.org/send/m.room.encrypted/t1"],
  ["PUT", "/sendToDevice/m.room.encrypted/t1"],
  ["POST", "/keys/upload"],
  ["POST", "/keys/claim"],
])("%s %s does not leave before what encryption remembers is on the disk", async (method, path) => {
  const disk = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const { fetch, sent } = guarded(undefined, () => {
    asked.resolve();
    return disk.promise;
  });
  const leaving = fetch(`${base}${path}`, { method, body: "{}" });
  await asked.promise;
  // What only asks for something need not wait.
  await fetch(`${base}/sync`);
  expect(sent).toEqual([`GET ${base}/sync`]);
  disk.resolve();
  await leaving;
  expect(sent).toHaveLength(2);
});

test("a room id that is written in another way is the same room", async () => {
  const { fetch, sent } = guarded();
  const raw = `${base}/rooms/${SECRET}/send/m.room.message/t1`;
  const twice = `${base}/rooms/%21secret%3aexample.org/send/m.room.message/t1`;
  for (const url of [raw, twice]) await expect(fetch(url, { method: "PUT" })).rejects.toThrow(/plain/);
  expect(sent).toEqual([]);
});

test("a limited request is sent again when it may be, and one of another kind does not wait for it", async () => {
  const answers = [Response.json({ errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 400 }, { status: 429 })];
  const { fetch, sent } = guarded(async () => answers.shift() ?? Response.json({}));
  const before = performance.now();
  const message = fetch(...put("!open:example.org", "m.room.message"));
  await fetch(`${base}/keys/query`, { method: "POST" });
  expect(performance.now() - before).toBeLessThan(400);
  expect((await message).status).toBe(200);
  expect(performance.now() - before).toBeGreaterThanOrEqual(399);
  expect(sent.filter((line) => line.includes("/send/"))).toHaveLength(2);
});

test("a message to a device whose queue is full waits by itself, and those to other devices go", async () => {
  const full = { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 300 };
  let refusals = 2;
  const { fetch, sent } = guarded(async (input) =>
    String(input).endsWith("/full") && refusals-- > 0
      ? Response.json(full, { status: 429 })
      : Response.json({}),
  );
  let arrived = false;
  const to = (txn: string) => fetch(`${base}/sendToDevice/x/${txn}`, { method: "PUT", body: "{}" });
  const waiting = to("full").then((answer) => {
    arrived = true;
    return answer;
  });
  for (let n = 0; n < 5; n++) expect((await to(`n${n}`)).status).toBe(200);
  expect(arrived).toBe(false);
  expect((await waiting).status).toBe(200);
  expect(sent.filter((line) => line.endsWith("/full"))).toHaveLength(3);
});

test("who waits for the rate limit can be called off", async () => {
  const { fetch } = guarded(
    async () => new Response("slow down", { status: 429, headers: { "retry-after": "3600" } }),
  );
  for (const path of ["sync", "sendToDevice/x/1"]) {
    const called = new AbortController();
    const waiting = fetch(`${base}/${path}`, { signal: called.signal });
    called.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
  }
});

test("an answer to /sync that makes no sense becomes an error of the server", async () => {
  const { fetch } = guarded(async () => new Response("<html>"));
  const response = await fetch(`${base}/sync?since=1`);
  expect(response.status).toBe(502);
  expect(await response.json()).toMatchObject({ error: expect.stringContaining("not JSON") });
});

const now = Date.UTC(2026, 0, 1);
test.each<[string | null, string, number]>([
  ["20", "{}", 20_000],
  ["20", '{"retry_after_ms":5}', 20_000],
  [new Date(now + 7_000).toUTCString(), "{}", 7_000],
  [null, '{"retry_after_ms":1234}', 1_234],
  [null, '{"retry_after_ms":0}', 250],
  [null, '{"retry_after_ms":-5}', 250],
  [null, '{"retry_after_ms":"soon"}', 5_000],
  [null, "<html>", 5_000],
  ["soon", "", 5_000],
  ["999999999", "", 3_600_000],
  [null, '{"retry_after_ms":1e300}', 3_600_000],
])("Retry-After %s with the body %s means %i ms", (header, body, ms) => {
  expect(retryAfterMs(header, body, now)).toBe(ms);
});

test.each([
  ["GET", "/_matrix/client/v3/sync", "sync"],
  ["PUT", "/_matrix/client/v3/rooms/!a:b/send/x/1", "message"],
  ["PUT", "/_matrix/client/v3/rooms/!a:b/state/x/", "message"],
  ["GET", "/_matrix/client/v3/rooms/!a:b/state/x/", "other"],
  ["PUT", "/_matrix/client/v3/sendToDevice/x/1", "to_device"],
  ["POST", "/_matrix/client/v3/keys/claim", "keys"],
  ["POST", "/_matrix/client/v3/createRoom", "other"],
])("%s %s is limited as %s", (method, path, kind) => {
  expect(requestClass(method, path)).toBe(kind);
});

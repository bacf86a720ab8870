import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Homeserver, startHomeserver } from "../../src/index.ts";
import { unexpected } from "../conformance/deviations.ts";
import { conformance, newUser, type User } from "./users.ts";

/** Each known path, with what a stranger might put where a parameter stands. */
const paths = [
  "/_matrix/client/v3/sync",
  "/_matrix/client/v3/login",
  "/_matrix/client/v3/register",
  "/_matrix/client/v3/createRoom",
  "/_matrix/client/v3/join/{}",
  "/_matrix/client/v3/knock/{}",
  "/_matrix/client/v3/rooms/{}/invite",
  "/_matrix/client/v3/rooms/{}/kick",
  "/_matrix/client/v3/rooms/{}/leave",
  "/_matrix/client/v3/rooms/{}/forget",
  "/_matrix/client/v3/rooms/{}/state",
  "/_matrix/client/v3/rooms/{}/state/{}/{}",
  "/_matrix/client/v3/rooms/{}/send/{}/{}",
  "/_matrix/client/v3/rooms/{}/redact/{}/{}",
  "/_matrix/client/v3/rooms/{}/messages",
  "/_matrix/client/v3/rooms/{}/context/{}",
  "/_matrix/client/v3/rooms/{}/event/{}",
  "/_matrix/client/v3/rooms/{}/typing/{}",
  "/_matrix/client/v3/rooms/{}/receipt/{}/{}",
  "/_matrix/client/v3/rooms/{}/read_markers",
  "/_matrix/client/v3/rooms/{}/members",
  "/_matrix/client/v1/rooms/{}/relations/{}/{}/{}",
  "/_matrix/client/v3/user/{}/filter",
  "/_matrix/client/v3/user/{}/filter/{}",
  "/_matrix/client/v3/user/{}/account_data/{}",
  "/_matrix/client/v3/user/{}/rooms/{}/account_data/{}",
  "/_matrix/client/v3/user/{}/rooms/{}/tags/{}",
  "/_matrix/client/v3/profile/{}/{}",
  "/_matrix/client/v3/presence/{}/status",
  "/_matrix/client/v3/directory/room/{}",
  "/_matrix/client/v3/directory/list/room/{}",
  "/_matrix/client/v3/publicRooms",
  "/_matrix/client/v3/user_directory/search",
  "/_matrix/client/v3/pushrules/global/{}/{}",
  "/_matrix/client/v3/pushrules/global/{}/{}/actions",
  "/_matrix/client/v3/keys/upload",
  "/_matrix/client/v3/keys/query",
  "/_matrix/client/v3/keys/claim",
  "/_matrix/client/v3/keys/changes",
  "/_matrix/client/v3/keys/device_signing/upload",
  "/_matrix/client/v3/keys/signatures/upload",
  "/_matrix/client/v3/sendToDevice/{}/{}",
  "/_matrix/client/v3/room_keys/version",
  "/_matrix/client/v3/room_keys/version/{}",
  "/_matrix/client/v3/room_keys/keys/{}/{}",
  "/_matrix/client/v3/devices/{}",
  "/_matrix/client/v3/delete_devices",
  "/_matrix/client/v3/refresh",
  "/_matrix/client/v1/media/download/{}/{}/{}",
  "/_matrix/media/v3/upload",
];

const nasty = () =>
  fc.oneof(
    fc.constantFrom(
      "..",
      ".",
      "",
      "%00",
      "__proto__",
      "constructor",
      "@alice:localhost",
      "#x:localhost",
      "$x",
      "!x:localhost",
      "m.room.member",
      "m.room.power_levels",
      "m.room.encryption",
      "override",
      "*",
      "null",
      "-1",
      "0",
      "1e9",
    ),
    fc.constant("ROOM"),
    fc.string({ unit: "binary", maxLength: 30 }),
  );

const key = () =>
  fc.constantFrom(
    "__proto__",
    "constructor",
    "messages",
    "device_keys",
    "one_time_keys",
    "content",
    "type",
    "user_id",
    "membership",
    "users",
    "events",
    "auth",
    "session",
    "password",
    "identifier",
    "rooms",
    "sessions",
    "initial_state",
    "invite",
    "m.relates_to",
    "rel_type",
    "event_id",
    "actions",
    "conditions",
    "tags",
    "timeline",
    "limit",
    "types",
    "filter",
    "displayname",
    "power_level_content_override",
    "creation_content",
    "master_key",
    "keys",
    "usage",
    "signatures",
    "com.example",
    "@alice:localhost",
    "ALICE",
    "*",
  );

const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(fc.constantFrom(null, true, "", 0, -1, 1.5, 2 ** 53), nasty(), fc.double()),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(key(), tie("value")), { maxLength: 5 }).map((entries) => Object.fromEntries(entries)),
  ),
})).value;

/** Attacks a server, as hard as `scale` says; 1 is the full run: 30,000 requests, 2,000 long polls. */
export function attack(scale: number): void {
  let server: Homeserver;
  let alice: User;
  let room: string;
  const failures: object[] = [];

  beforeAll(async () => {
    server = await startHomeserver({
      bind: { host: "127.0.0.1", port: 0 },
      dataDir: null,
      name: "localhost",
      registration: "open",
      rateLimits: null,
      logger: { debug() {}, info() {}, warn() {}, error: (fields) => failures.push(fields) },
    });
    alice = await newUser(server, "alice");
    room = await alice.room();
  });
  afterAll(() => server.close());

  it("no request makes the server fail: every answer is one of the specification's, quickly", async () => {
    const request = fc.record({
      method: fc.constantFrom("GET", "POST", "PUT", "DELETE"),
      path: fc.constantFrom(...paths),
      parts: fc.array(nasty(), { minLength: 4, maxLength: 4 }),
      query: fc.array(
        fc.tuple(
          fc.constantFrom("since", "filter", "limit", "dir", "from", "to", "version", "timeout"),
          nasty(),
        ),
        {
          maxLength: 3,
        },
      ),
      body: fc.option(fc.oneof(json, fc.string()), { nil: undefined }),
      known: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path, parts, query, body, known }) => {
        const values = [...parts];
        const encode = (part: string) => encodeURIComponent((part === "ROOM" ? room : part).toWellFormed());
        const target = path.replaceAll("{}", () => encode(values.shift() ?? ""));
        const search = new URLSearchParams(query.filter(([name]) => name !== "timeout"));
        const url = new URL(`${server.url}${target}?${search}`);
        const response = await fetch(url, {
          method,
          headers: known ? { authorization: `Bearer ${alice.token}` } : {},
          ...(method === "GET" || body === undefined ? {} : { body: JSON.stringify(body) ?? "" }),
        });
        const answer = await response.text();
        expect(response.status, `${method} ${target} ${answer}`).toBeLessThan(500);
        if (response.status >= 400) expect(() => JSON.parse(answer)).not.toThrow();
        const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
        const parsed: unknown = isJson ? JSON.parse(answer) : undefined;
        const problems = conformance?.problems(method, url.pathname, response.status, parsed) ?? [];
        expect(unexpected(problems, "embedded"), `${method} ${url} ${answer}`).toEqual([]);
      }),
      { numRuns: Math.round(30_000 * scale) },
    );
    expect(failures).toEqual([]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect((await alice.get("/account/whoami")).status).toBe(200);
  });

  it("many idle long polls cost little, and all of them wake", async () => {
    const count = Math.max(50, Math.round(2_000 * scale));
    const patient = await newUser(server, "patient");
    const quietRoom = await patient.room();
    const { next_batch: since } = await patient.sync();
    const before = process.memoryUsage().heapUsed;
    const polls = Array.from({ length: count }, () => patient.sync(since, { timeout: "60000" }));
    await patient.get("/account/whoami");
    const event = await patient.say(quietRoom, "wake up");
    for (const answer of await Promise.all(polls)) expect(JSON.stringify(answer.rooms)).toContain(event);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(400 * 1024 * 1024);
  });
}

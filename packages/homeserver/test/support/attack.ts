import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { App } from "../../src/app.ts";
import { type Homeserver, startHomeserver } from "../../src/index.ts";
import { allRoutes } from "../../src/routes.ts";
import { unexpected } from "../conformance/deviations.ts";
import { type Called, fuzzedHead } from "./fuzzed-head.ts";
import { conformance, newUser, type User } from "./users.ts";
import { Wire } from "./wire.ts";
import { Witness } from "./witness.ts";

/** Every route but those that end the session which the attack goes on with. */
const routes = allRoutes({} as App).filter(({ pattern }) => !/\/logout(\/all)?$/.test(pattern));

/** Whether the document knows a route; of ours beyond it, only that nothing fails can be judged. */
const isDocumented = ({ method, pattern }: Called) =>
  !(conformance?.problems(method, pattern, 401, { errcode: "M_MISSING_TOKEN" }) ?? []).some((problem) =>
    problem.includes("not in the specification"),
  );

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
      route: fc.constantFrom(...routes),
      otherMethod: fc.option(fc.constantFrom("GET", "POST", "PUT", "DELETE"), { nil: undefined }),
      parts: fc.array(nasty(), { minLength: 4, maxLength: 4 }),
      query: fc.array(
        fc.tuple(
          fc.constantFrom(
            "since",
            "filter",
            "limit",
            "dir",
            "from",
            "to",
            "version",
            "timeout",
            "access_token",
          ),
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
      fc.asyncProperty(request, async ({ route, otherMethod, parts, query, body, known }) => {
        const method = otherMethod ?? route.method;
        const values = [...parts];
        const encode = (part: string) => encodeURIComponent((part === "ROOM" ? room : part).toWellFormed());
        const target = route.pattern.replaceAll(/\{\w+\}/g, () => encode(values.shift() ?? ""));
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
        const problems = isDocumented(route)
          ? (conformance?.problems(method, url.pathname, response.status, parsed) ?? [])
          : [];
        expect(unexpected(problems, "embedded"), `${method} ${url} ${answer}`).toEqual([]);
      }),
      { numRuns: Math.round(30_000 * scale) },
    );
    expect(failures).toEqual([]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect((await alice.get("/account/whoami")).status).toBe(200);
  });

  it("no head of a request makes the server fail, and every connection comes to its end", async () => {
    const strict = await startHomeserver({
      bind: { host: "127.0.0.1", port: 0 },
      dataDir: null,
      name: "localhost",
      registration: "open",
      rateLimits: null,
      // Bodies that were announced and never come are not waited for as long as a user's.
      connections: { headersMs: 500, requestMs: 500 },
      logger: { debug() {}, info() {}, warn() {}, error: (fields) => failures.push(fields) },
    });
    try {
      const mallory = await newUser(strict, "mallory");
      const heads = fc.array(fuzzedHead(routes.filter(isDocumented), String(mallory.token)), {
        minLength: 50,
        maxLength: 50,
      });
      let answered = 0;
      await fc.assert(
        fc.asyncProperty(heads, async (requests) => {
          const witness = new Witness();
          const wires = requests.map((request) => new Wire(strict.port).write(request));
          for (const [i, wire] of wires.entries()) {
            await wire.ended();
            expect(wire.statuses.length, requests[i]).toBeGreaterThan(0);
            for (const status of wire.statuses) expect(Number(status), requests[i]).toBeLessThan(500);
            wire.show(witness);
            answered += wire.statuses.length;
          }
          witness.expectRight(requests.length);
        }),
        { numRuns: Math.ceil(300 * scale), endOnFailure: true },
      );
      expect(answered).toBeGreaterThanOrEqual(300 * scale * 50);
      expect(failures).toEqual([]);
      expect((await mallory.get("/account/whoami")).status).toBe(200);
    } finally {
      await strict.close();
    }
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

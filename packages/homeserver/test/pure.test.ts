import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseBody } from "../src/http/json.ts";
import { Router, route } from "../src/http/router.ts";
import { containsWords, globMatches, globMatchesWords } from "../src/rooms/glob.ts";
import { defaultPushRules } from "../src/rooms/push-defaults.ts";
import { evaluatePush, type PushContext } from "../src/rooms/push-evaluate.ts";
import { redactedContent } from "../src/rooms/redaction.ts";
import { visibilityOf } from "../src/rooms/visibility.ts";
import { parseFilter } from "../src/sync/filter.ts";
import { formatToken, parseToken } from "../src/sync/token.ts";

describe("globs of push rules", () => {
  const alphabet = fc.string({ unit: fc.constantFrom("a", "b", "*", "?", " "), maxLength: 12 });

  it("match as the regular expression of the same meaning does", () => {
    fc.assert(
      fc.property(
        alphabet,
        fc.string({ unit: fc.constantFrom("a", "b", " ", "A"), maxLength: 16 }),
        (glob, text) => {
          const pattern = glob.replaceAll("*", ".*").replaceAll("?", ".");
          expect(globMatches(glob, text)).toBe(new RegExp(`^${pattern}$`, "is").test(text));
          const words = new RegExp(`(?:^|(?<![\\p{L}\\p{N}_]))${pattern}(?![\\p{L}\\p{N}_])`, "isu");
          expect(globMatchesWords(glob, text)).toBe(words.test(text));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("match alike where the pattern is long: 40 characters more in front of both change nothing", () => {
    const texts = fc.string({ unit: fc.constantFrom("a", "b", " "), maxLength: 16 });
    fc.assert(
      fc.property(alphabet, texts, (glob, text) => {
        const more = "ab".repeat(20);
        const pattern = glob.replaceAll("*", ".*").replaceAll("?", ".");
        expect(globMatches(more + glob, more + text)).toBe(new RegExp(`^${pattern}$`, "is").test(text));
      }),
      { numRuns: 1_000 },
    );
  });

  it("find a name as it is, stars and all", () => {
    expect(containsWords("Al*ce?", "hello al*ce?, how are you")).toBe(true);
    expect(containsWords("Al*ce", "hello alice")).toBe(false);
    expect(containsWords("al", "hello alice")).toBe(false);
  });

  it("take no longer for a pattern that was made to", () => {
    const text = "a".repeat(20_000);
    const started = performance.now();
    globMatches("*a*a*a*a*a*a*a*a*b", text);
    globMatchesWords("*a*a*a*a*a*a*a*a*b", text);
    globMatchesWords(`${"*?".repeat(127)}b`, text);
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});

describe("filters of types", () => {
  const matches = (pattern: string, type: string) =>
    parseFilter({ account_data: { types: [pattern] } }).accountData.matches({
      type,
      sender: "",
      content: {},
    });

  it("match as the regular expression of the same meaning does", () => {
    const part = fc.string({ unit: fc.constantFrom("a", "b", ".", "*"), maxLength: 8 });
    fc.assert(
      fc.property(
        part,
        fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 10 }),
        (pattern, type) => {
          const source = pattern
            .split("*")
            .map((text) => text.replaceAll(".", "\\."))
            .join(".*");
          expect(matches(pattern, type)).toBe(new RegExp(`^${source}$`).test(type));
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe("a filter's event fields", () => {
  const event = { type: "t", content: { body: "b", "a.b": 1, deep: { er: 2, x: 3 } }, unsigned: { age: 1 } };
  const shape = (...fields: string[]) => parseFilter({ event_fields: fields }).shape(event);

  it("keep what they name, and nothing else", () => {
    expect(shape("type", "content.body")).toEqual({ type: "t", content: { body: "b" } });
    expect(shape("content.a\\.b", "content.deep.er")).toEqual({ content: { "a.b": 1, deep: { er: 2 } } });
    expect(shape("content", "content.body")).toEqual({ content: event.content });
    expect(shape("nothing", "type.x", "__proto__")).toEqual({});
    expect(shape()).toEqual({});
  });
});

describe("the history of a room that somebody may see", () => {
  const at = (pos: number, value: string) => ({ pos, value });
  const seen = (memberships: [number, string][], visibilities: [number, string][]) => {
    const visible = visibilityOf(
      memberships.map(([pos, value]) => at(pos, value)),
      visibilities.map(([pos, value]) => at(pos, value)),
    );
    return Array.from({ length: 10 }, (_, i) => i + 1).filter(visible);
  };

  it("shared: all up to the end of the last stay", () => {
    expect(seen([[3, "join"]], [[1, "shared"]])).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(
      seen(
        [
          [3, "join"],
          [6, "leave"],
        ],
        [[1, "shared"]],
      ),
    ).toEqual([1, 2, 3, 4, 5, 6]);
    expect(
      seen(
        [
          [3, "join"],
          [5, "leave"],
          [8, "join"],
        ],
        [[1, "shared"]],
      ),
    ).toHaveLength(10);
    expect(seen([[3, "invite"]], [[1, "shared"]])).toEqual([3]);
  });

  it("joined: what was said while there, and the event that made it so", () => {
    expect(
      seen(
        [
          [2, "invite"],
          [4, "join"],
          [7, "ban"],
        ],
        [[1, "joined"]],
      ),
    ).toEqual([1, 2, 4, 5, 6, 7]);
  });

  it("invited: from the invitation on", () => {
    expect(
      seen(
        [
          [3, "invite"],
          [5, "join"],
          [8, "leave"],
        ],
        [[1, "invited"]],
      ),
    ).toEqual([1, 3, 4, 5, 6, 7, 8]);
    expect(seen([[3, "invite"]], [[1, "invited"]])).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("world_readable: everything, for anybody; a change is seen from either side", () => {
    expect(seen([], [[1, "world_readable"]])).toHaveLength(10);
    expect(
      seen(
        [],
        [
          [1, "world_readable"],
          [5, "shared"],
        ],
      ),
    ).toEqual([1, 2, 3, 4, 5]);
    expect(
      seen(
        [],
        [
          [1, "shared"],
          [5, "world_readable"],
        ],
      ),
    ).toEqual([5, 6, 7, 8, 9, 10]);
  });
});

describe("push rules", () => {
  const context: PushContext = {
    displayName: "Bob",
    memberCount: 3,
    senderLevel: 0,
    notificationLevel: () => 50,
  };
  const outcome = (
    event: object,
    more: Partial<PushContext> = {},
    rules = defaultPushRules("@bob:localhost"),
  ) =>
    evaluatePush(
      rules,
      { type: "m.room.message", sender: "@alice:localhost", room_id: "!r:localhost", content: {}, ...event },
      { ...context, ...more },
    );
  const silent = { notify: false, highlight: false };
  const quiet = { notify: true, highlight: false };
  const loud = { notify: true, highlight: true };

  it.each([
    ["a message", { content: { body: "hi" } }, quiet],
    ["an encrypted message", { type: "m.room.encrypted" }, quiet],
    ["a notice", { content: { msgtype: "m.notice", body: "bob" } }, silent],
    ["one's user name", { content: { body: "ask Bob!" } }, loud],
    ["one's user name within a word", { content: { body: "bobsleigh" } }, quiet],
    ["a mention", { content: { "m.mentions": { user_ids: ["@bob:localhost"] } } }, loud],
    ["a reaction", { type: "m.reaction" }, silent],
    ["an edit", { content: { body: "bob", "m.relates_to": { rel_type: "m.replace" } } }, loud],
    [
      "a membership",
      { type: "m.room.member", state_key: "@carol:localhost", content: { membership: "join" } },
      silent,
    ],
    ["an unknown type", { type: "com.mxagent.exec.request.v1" }, silent],
    ["@room without the power for it", { content: { body: "@room" } }, quiet],
  ])("%s", (_name, event, expected) => {
    expect(outcome(event)).toEqual(expected);
  });

  it("@room with the power for it", () => {
    expect(outcome({ content: { body: "@room" } }, { senderLevel: 50 })).toEqual(loud);
  });

  it("the master rule silences everything", () => {
    const rules = structuredClone(defaultPushRules("@bob:localhost")) as { override: { enabled: boolean }[] };
    for (const rule of rules.override.slice(0, 1)) rule.enabled = true;
    expect(outcome({ content: { body: "bob" } }, {}, rules)).toEqual(silent);
  });

  it("rules of any shape never throw", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (rule, content) => {
        outcome(
          { content: { body: content } },
          {},
          { override: [rule], content: rule, underride: { a: rule } },
        );
        const condition = { rule_id: "x", enabled: true, conditions: [rule], actions: rule };
        outcome({ content: { body: content } }, {}, { override: [condition] });
      }),
    );
  });
});

it("a redacted content keeps nothing but what its type keeps", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (content) => {
      expect(redactedContent("m.room.message", content)).toEqual({});
      expect(redactedContent("constructor", content)).toEqual({});
      expect(redactedContent("m.room.create", content)).toEqual(content);
    }),
  );
  const levels = { users: { "@a:b": 1 }, notifications: { room: 20 }, invite: 3, ban: 4, extra: 5 };
  expect(redactedContent("m.room.power_levels", levels)).toEqual({ users: { "@a:b": 1 }, invite: 3, ban: 4 });
});

it("positions come back as they went", () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (pos, toDevice) => {
      expect(parseToken(formatToken({ pos, toDevice }), Math.max(pos, toDevice))).toEqual({ pos, toDevice });
    }),
  );
});

it("a body is an object in UTF-8 of bounded depth, or refused", () => {
  const parse = (text: string | Buffer) => () => parseBody(Buffer.from(text));
  for (const text of ["", "{", "nul", '{"a":1}x', Buffer.from([0x7b, 0xff, 0x7d])]) {
    expect(parse(text)).toThrow(expect.objectContaining({ errcode: "M_NOT_JSON" }));
  }
  for (const text of ["1", '"x"', "null", "[]"]) {
    expect(parse(text)).toThrow(expect.objectContaining({ errcode: "M_BAD_JSON" }));
  }
  const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
  expect(parse(deep(100))()).toBeDefined();
  expect(parse(deep(101))).toThrow("deeper");
  expect(parse(`{"a":${"[".repeat(400_000)}${"]".repeat(400_000)}}`)).toThrow("deeper");
});

it("a path finds its route; literal segments win, and parameters are decoded", () => {
  const handler = () => undefined;
  const router = new Router([
    route("GET", "/a/{x}", handler),
    route("GET", "/a/b", handler),
    route("PUT", "/a/b/{y}/", handler),
    route("GET", "/{z}/c", handler),
  ]);
  const find = (method: string, path: string) => {
    const { route: found, params } = router.find(method, path);
    return [found.pattern, Object.fromEntries(params)];
  };
  expect(find("GET", "/a/b")).toEqual(["/a/b", {}]);
  expect(find("GET", "/a/%2F%20é")).toEqual(["/a/{x}", { x: "/ é" }]);
  expect(find("GET", "/a/c")).toEqual(["/a/{x}", { x: "c" }]);
  expect(find("GET", "/q/c")).toEqual(["/{z}/c", { z: "q" }]);
  expect(find("PUT", "/a/b/1/")).toEqual(["/a/b/{y}/", { y: "1" }]);
  expect(() => find("GET", "/a/%ff")).toThrow(expect.objectContaining({ status: 400 }));
  expect(() => find("POST", "/a/b")).toThrow(expect.objectContaining({ status: 405 }));
  expect(() => find("GET", "/a/b/c/d/e")).toThrow(expect.objectContaining({ status: 404 }));
  expect(() => new Router([route("GET", "/a/{x}", handler), route("GET", "/a/{y}", handler)])).toThrow(
    "two routes",
  );
});

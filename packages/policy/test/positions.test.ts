import fc from "fast-check";
import { parse } from "smol-toml";
import { expect, test } from "vitest";
import { Positions, showPath } from "../src/positions.ts";

const text = `# a comment with [brackets] and = signs
version = 1
[groups] # trailing
builders = [
  "@a:x", # with a ] in it
  '@b:x',
]
"quoted \\u0041.key" = """
[not.a.table]
x = 1
"""
[rooms."!a:x".agents."*"]
allow_cwd = ["/a", "/b"]
inline = { one = 1, two = { three = ["x", { four = 4 }] } }
a.b . "c d" = 'raw \\'
[[test]]
name = "first"
[[test]]
name = "second"
request = { room = "!a:x" }
[rooms."!a:x"]
trusted = true
`;

test.each<[string, (string | number)[], number]>([
  ["a key of the root", ["version"], 2],
  ["an element of a list over several lines", ["groups", "builders", 1], 6],
  ["a quoted key with an escape", ["groups", "quoted A.key"], 8],
  ["a table", ["rooms", "!a:x", "agents", "*"], 12],
  ["a key of a table", ["rooms", "!a:x", "agents", "*", "allow_cwd"], 13],
  [
    "a key of an inline table in a list in an inline table",
    ["rooms", "!a:x", "agents", "*", "inline", "two", "three", 1, "four"],
    14,
  ],
  ["a dotted key", ["rooms", "!a:x", "agents", "*", "a", "b", "c d"], 15],
  ["the second of an array of tables", ["test", 1, "name"], 19],
  ["a key inside it", ["test", 1, "request", "room"], 20],
  ["a table whose header comes after a table in it", ["rooms", "!a:x"], 21],
  ["a key that is missing: its table", ["rooms", "!a:x", "agents", "*", "absent"], 12],
  ["a table that is nowhere", ["nowhere"], 1],
])("finds the line of %s", (_, path, line) => {
  expect(new Positions(text).line(path)).toBe(line);
});

test("a path is shown as it is written in TOML", () => {
  expect(showPath(["rooms", "!a:x", "agents", "*", "allow_cwd", 1])).toBe(
    'rooms."!a:x".agents."*".allow_cwd[1]',
  );
});

/** Every path of a parsed document, tables and elements included. */
function pathsOf(value: unknown, path: (string | number)[] = []): string[] {
  const own = path.length === 0 ? [] : [JSON.stringify(path)];
  if (Array.isArray(value))
    return [...own, ...value.flatMap((item, index) => pathsOf(item, [...path, index]))];
  if (typeof value === "object" && value !== null && !(value instanceof Date)) {
    return [...own, ...Object.entries(value).flatMap(([key, item]) => pathsOf(item, [...path, key]))];
  }
  return own;
}

test("finds each key that the parser reads, and no other", () => {
  const found = new Positions(text).paths().map((path) => JSON.stringify(path));
  expect(new Set(found)).toEqual(new Set(pathsOf(parse(text))));
});

const key = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9_-]{1,6}$/),
  fc
    .string({ maxLength: 8, unit: "grapheme" })
    .map((name) => JSON.stringify(name).replaceAll("\u007f", "\\u007f")),
  fc.stringMatching(/^[ -&(-~]{0,8}$/).map((name) => `'${name}'`),
);
const space = fc.constantFrom("", " ", "\t ");
const blank = fc.constantFrom("", " ", "\n", " # ] } = [x]\n", "\r\n");
const leaf = fc.oneof(
  fc.constantFrom("1", "true", "-1.5e3", "0x1F", "2026-01-01", "2026-01-01 10:00:00Z", "inf"),
  key.filter((name) => /^["']/.test(name)),
  fc.constantFrom('"""\n[a]\nx = "1" \\"""" """', "'''\n# '' x = ]\n'''", '""""quoted""""'),
);
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc
      .tuple(fc.array(fc.tuple(blank, tie("value"), blank), { maxLength: 3 }), blank)
      .map(([items, end]) => `[${items.map((item) => item.join("")).join(",")}${end}]`),
    fc
      .array(fc.tuple(key, space, tie("value")), { maxLength: 3 })
      .map((items) => `{ ${items.map(([name, gap, item]) => `${name}${gap}=${gap}${item}`).join(", ")} }`),
  ),
}));
const line = fc.oneof(
  fc
    .tuple(fc.array(key, { minLength: 1, maxLength: 3 }), value, space)
    .map(([names, item, gap]) => `${names.join(`${gap}.${gap}`)}${gap}=${gap}${item}${gap}# end`),
  fc
    .tuple(fc.array(key, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([names, array]) => (array ? `[[${names.join(".")}]]` : `[ ${names.join(" . ")} ]`)),
);

test("finds exactly the parser's keys in any document that parses", () => {
  let compared = 0;
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
      const document = lines.join("\n");
      let parsed: unknown;
      try {
        parsed = parse(document);
      } catch {
        new Positions(document);
        return;
      }
      compared++;
      const found = new Positions(document).paths().map((path) => JSON.stringify(path));
      expect(new Set(found)).toEqual(new Set(pathsOf(parsed)));
    }),
    { numRuns: 1500 },
  );
  expect(compared).toBeGreaterThan(100);
});

test("ends on any text at all", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."[]{}=.,#\"'\n\\ ax") }), (anything) => {
      new Positions(anything);
    }),
    { numRuns: 2000 },
  );
});

import { expect, test } from "vitest";
import { absolutePath, isInside } from "../src/paths.ts";
import { didYouMean, editDistance } from "../src/suggest.ts";

test.each([
  ["/srv/project", "/srv/project"],
  ["/srv//project/", "/srv/project"],
  ["/", "/"],
  ["~", "/home/me"],
  ["~/code", "/home/me/code"],
  ["~other/code", null],
  ["srv", null],
  ["./srv", null],
  ["/srv/../etc", null],
  ["/srv/./x", null],
  ["/srv/...", "/srv/..."],
  ["/a\0b", null],
  ["", null],
])("%j is the absolute path %j", (text, expected) => {
  expect(absolutePath(text, "/home/me")).toBe(expected);
});

test("a home that is not known is not the root", () => {
  expect(absolutePath("~/code", "")).toBeNull();
});

test.each([
  ["/srv/project", "/srv/project", true],
  ["/srv/project/x", "/srv/project", true],
  ["/srv/project2", "/srv/project", false],
  ["/srv", "/srv/project", false],
  ["/anything", "/", true],
])("%s is inside %s: %s", (path, directory, inside) => {
  expect(isInside(path, directory)).toBe(inside);
});

test("a suggestion is near enough to be meant", () => {
  expect([
    editDistance("abc", "abc"),
    editDistance("abc", "acb"),
    editDistance("", "abc"),
    editDistance("kitten", "sitting"),
  ]).toEqual([0, 1, 3, 3]);
  expect(didYouMean("allow_comand", ["allow_commands", "allow_cwd"])).toBe(
    '; did you mean "allow_commands"?',
  );
  expect(didYouMean("x", ["allow_commands"])).toBe("");
});

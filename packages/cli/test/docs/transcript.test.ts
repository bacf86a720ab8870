/** What makes a page wrong: the checker that holds README and wiki to what really comes. */
import { describe, expect, test } from "vitest";
import { stepsOf } from "./session.ts";
import { compare, inThisRun, type Names } from "./transcript.ts";

const against = (shown: string, came: string, names: Names = new Map()) =>
  compare(shown.split("\n"), came.split("\n"), names);

describe("a page is held to what came", () => {
  test("a line that came, and is not shown, is found", () => {
    expect(against("one", "one\ntwo")).toMatch(/does not show\n {2}two/);
    expect(against("one\n…", "one\ntwo")).toBeNull();
  });

  test("a line that is shown, and did not come, is found", () => {
    expect(against("one\ntwo", "one")).toMatch(/shows\n {2}two/);
    expect(against("…\nthree", "one\ntwo")).toMatch(/shows\n {2}three/);
  });

  test("lines are left out only where the page says so", () => {
    expect(against("one\nthree", "one\ntwo\nthree")).not.toBeNull();
    expect(against("one\n…\nthree", "one\ntwo\nthree")).toBeNull();
  });

  test("ids, times and white space may differ, words and numbers may not", () => {
    expect(against("pid 1, took 5 ms", "pid 22,   took 7.5 ms")).toBeNull();
    expect(against("members: 1", "members: 2")).not.toBeNull();
    expect(against("encrypted: yes", "encrypted: no")).not.toBeNull();
  });

  test("an id that is shown twice is the same one twice", () => {
    const [a, b] = ["!aaaaaaaaaaaaaa:x", "!bbbbbbbbbbbbbb:x"];
    const names: Names = new Map();
    expect(against(`room ${a}`, `room ${b}`, names)).toBeNull();
    expect(inThisRun(`join ${a}`, names)).toBe(`join ${b}`);
    expect(against(`room ${a}`, `room ${a}`, names)).not.toBeNull();
  });
});

describe("a session", () => {
  const block = (...lines: string[]) => ({
    file: "x.md",
    line: 1,
    kind: "console",
    section: "",
    together: false,
    lines,
  });

  test("is commands by machine, with what they print and the status that they end with", () => {
    expect(
      stepsOf(block("laptop$ cat <<'E'", "> text", "> E", "text", "builder$ false    # ends with status 1")),
    ).toEqual([
      { machine: "laptop", command: "cat <<'E'\ntext\nE", status: 0, shown: ["text"] },
      { machine: "builder", command: "false    # ends with status 1", status: 1, shown: [] },
    ]);
  });

  test("that begins without a prompt is a mistake", () => {
    expect(() => stepsOf(block("mx-agent exec"))).toThrow(/x\.md:1: no prompt/);
  });
});

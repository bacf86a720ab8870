/** Questions at a terminal, and every way out of them. */
import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { askSecret, confirm, question } from "../src/prompt.ts";
import { fakeCli } from "./support/fake-cli.ts";

/** A person who types this at once. */
function atTerminal(typed: string) {
  const fake = fakeCli();
  const raw: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (on: boolean) => raw.push(on),
  });
  Object.assign(fake.cli, { stdin });
  Object.assign(fake.cli.stderr, { isTTY: true, columns: 80 });
  stdin.write(typed);
  return { cli: fake.cli, stderr: fake.stderr, raw };
}

describe.each([
  ["a question", (typed: string) => question(atTerminal(typed).cli, "User name: ")],
  ["a yes or no", (typed: string) => confirm(atTerminal(typed).cli, "Join?")],
  ["a password", (typed: string) => askSecret(atTerminal(typed).cli, "Password: ")],
])("%s", (_, ask) => {
  test.each([
    ["Ctrl-C", "\u0003"],
    ["Ctrl-D", "\u0004"],
  ])("is left by %s, which is no bug of ours", async (_key, typed) => {
    await expect(ask(typed)).rejects.toMatchObject({ code: "MX_CANCELLED" });
  });
});

test.each([
  ["y\r", true],
  ["YES\r", true],
  ["\r", false],
  ["no\r", false],
  ["yup\r", false],
])("to a yes or no, %j is %s", async (typed, agreed) => {
  expect(await confirm(atTerminal(typed).cli, "Join?")).toBe(agreed);
});

test("without a terminal nothing is agreed to", async () => {
  expect(await confirm(fakeCli({ stdin: "y\n" }).cli, "Join?")).toBe(false);
});

test("a password can be corrected while it is typed, is not shown, and leaves the terminal as it was", async () => {
  const person = atTerminal("wrong\u0015pasß\u007fsword\r");
  expect(await askSecret(person.cli, "Password: ")).toBe("password");
  expect(person.stderr()).toBe("Password: \n");
  expect(person.raw).toEqual([true, false]);
});

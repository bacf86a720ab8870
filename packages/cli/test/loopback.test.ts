/** Where the browser of `auth login --sso` comes back to. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Loopback, listenForCode, listenForToken } from "../src/sso/loopback.ts";

let loopback: Loopback<string>;
beforeEach(async () => {
  loopback = await listenForToken();
});
afterEach(() => loopback.close());

const status = async (url: string, method = "GET") => (await fetch(url, { method })).status;

test("it hears the token that comes to its own path, and shows a page", async () => {
  const response = await fetch(`${loopback.url}?loginToken=syl_secret`);
  expect([response.status, response.headers.get("referrer-policy")]).toEqual([200, "no-referrer"]);
  expect(await loopback.answer).toBe("syl_secret");
});

test("nobody who does not know its path, and nothing but a GET with a token, is heard", async () => {
  const { origin } = new URL(loopback.url);
  expect(await status(`${origin}/?loginToken=theirs`)).toBe(404);
  expect(await status(`${origin}/AAAAAAAAAAAAAAAAAAAAAA?loginToken=theirs`)).toBe(404);
  expect(await status(loopback.url)).toBe(404);
  expect(await status(`${loopback.url}?loginToken=`)).toBe(404);
  expect(await status(`${loopback.url}?loginToken=theirs`, "POST")).toBe(404);
  await fetch(`${loopback.url}?loginToken=ours`);
  expect(await loopback.answer).toBe("ours");
});

test("it listens on loopback alone, and each login has a path of its own", async () => {
  expect(loopback.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[\w-]{22}$/);
  const other = await listenForToken();
  other.close();
  expect(new URL(other.url).pathname).not.toBe(new URL(loopback.url).pathname);
});

test("what is pasted counts where it is the address of this login", () => {
  expect(loopback.answerOf(` ${loopback.url}?loginToken=a%2Bb \n`)).toBe("a+b");
  for (const pasted of ["", "syl_secret", "http://127.0.0.1/?loginToken=theirs", loopback.url])
    expect(loopback.answerOf(pasted)).toBeUndefined();
});

test("of OAuth 2.0 it hears the code, or the refusal, that comes with the state that was asked for", async () => {
  const early = await listenForCode();
  expect(await status(`${early.url}?state=&code=theirs`)).toBe(404);
  early.expect("abc");
  for (const query of ["state=abd&code=theirs", "code=theirs", "state=abc", "state=abc&code="])
    expect(await status(`${early.url}?${query}`)).toBe(404);
  expect(early.answerOf(`${early.url}?state=abc&error=access_denied&error_description=no`)).toEqual({
    error: "access_denied: no",
  });
  expect(await status(`${early.url}?state=abc&code=ours`)).toBe(200);
  expect(await early.answer).toEqual({ code: "ours" });
  early.close();
});

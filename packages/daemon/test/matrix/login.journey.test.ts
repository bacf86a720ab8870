import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type LoginMethod, login, logout } from "../../src/matrix/login.ts";
import { newUser } from "./helpers.ts";

let server: TestHomeserver;
beforeAll(async () => {
  server = await startHomeserverForTests();
});
afterAll(() => server?.close());

const logIn = (method: LoginMethod, device_id?: string) =>
  login({
    fetch,
    homeserver: server.url,
    method,
    device_name: "test",
    ...(device_id !== undefined && { device_id }),
  });

test("a password gives a device of its own, and again the same one when it is asked for", async () => {
  const { user, password } = await newUser(server);
  const method = { kind: "password", user, password } as const;
  const first = await logIn(method);
  expect(first).toMatchObject({ user_id: `@${user}:${server.name}` });
  const second = await logIn(method);
  expect(second.device_id).not.toBe(first.device_id);
  const again = await logIn(method, first.device_id);
  expect(again.device_id).toBe(first.device_id);
  expect(again.access_token).not.toBe(first.access_token);
});

test("a wrong password and an unknown user are refused", async () => {
  const { user } = await newUser(server);
  for (const name of [user, "nobody-of-that-name"]) {
    const refused = logIn({ kind: "password", user: name, password: "wrong" });
    await expect(refused).rejects.toMatchObject({ code: "MX_LOGIN_REFUSED", exitCode: 77 });
  }
});

test("an access token is taken with the device that it belongs to, until it is logged out", async () => {
  const { user, password } = await newUser(server);
  const first = await logIn({ kind: "password", user, password });
  const method = { kind: "access_token", access_token: first.access_token } as const;
  expect(await logIn(method)).toEqual(first);
  await logout(fetch, first);
  await expect(logIn(method)).rejects.toMatchObject({ code: "MX_LOGIN_REFUSED" });
  await logout(fetch, first);
});

test("an account can be made where the homeserver allows it, and its name is then taken", async () => {
  const method = {
    kind: "register",
    user: `new${randomBytes(5).toString("hex")}`,
    password: "correct horse battery",
    registration_token: null,
  } as const;
  const made = await logIn(method);
  expect(made.user_id).toBe(`@${method.user}:${server.name}`);
  expect(await logIn({ ...method, kind: "password" })).toMatchObject({ user_id: made.user_id });
  await expect(logIn(method)).rejects.toMatchObject({ code: "MX_LOGIN_REFUSED" });
});

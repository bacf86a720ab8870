import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { testServer } from "./support/server.ts";
import { newUser, nobody, passwordLogin, signIn, type User } from "./support/users.ts";

let server: Homeserver;

beforeAll(async () => {
  server = await testServer({ accessTokenLifetimeMs: 300 });
});
afterAll(() => server.close());

const auth = (user: User, session: unknown, password = "secret") => ({
  ...passwordLogin(user.id, password),
  session,
});

describe("registration", () => {
  const register = (target: Homeserver, name: string, stage?: object) =>
    nobody(target).post("/register", { username: name, password: "secret", ...(stage && { auth: stage }) });

  it("is closed where the operator did not open it", async () => {
    const closed = await testServer({ registration: "closed" });
    try {
      expect(await register(closed, "eve", { type: "m.login.dummy" })).toMatchObject({
        status: 403,
        body: { errcode: "M_FORBIDDEN" },
      });
      await closed.addUser("eve", "secret");
      expect((await nobody(closed).post("/login", passwordLogin("eve"))).status).toBe(200);
    } finally {
      await closed.close();
    }
  });

  it("with a token works as often as the token says", async () => {
    const gated = await testServer({ registration: "token" });
    try {
      const asked = await register(gated, "eve");
      expect(asked).toMatchObject({
        status: 401,
        body: { flows: [{ stages: ["m.login.registration_token"] }] },
      });
      const stage = (token: string) => ({
        type: "m.login.registration_token",
        token,
        session: asked.body.session,
      });
      expect(
        (await register(gated, "eve", { type: "m.login.dummy", session: asked.body.session })).status,
      ).toBe(401);
      expect((await register(gated, "eve", stage("guessed"))).status).toBe(401);
      const token = await gated.createRegistrationToken({ uses: 1 });
      expect((await register(gated, "eve", stage(token))).body.user_id).toBe("@eve:localhost");
      const second = await register(gated, "mallory");
      const used = { type: "m.login.registration_token", token, session: second.body.session };
      expect((await register(gated, "mallory", used)).status).toBe(401);
      const late = await gated.createRegistrationToken({ expiresAt: Date.now() - 1 });
      expect((await register(gated, "mallory", { ...used, token: late })).status).toBe(401);
    } finally {
      await gated.close();
    }
  });

  it("of one name succeeds once, however many try at the same time", async () => {
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => register(server, "wanted", { type: "m.login.dummy" })),
    );
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 400, 400, 400]);
  });

  it.each(["", "a b", "a:b", "ünï", "a/../b\u0000", "x".repeat(260)])("refuses the name %j", async (name) => {
    expect(await register(server, name, { type: "m.login.dummy" })).toMatchObject({
      status: 400,
      body: { errcode: "M_INVALID_USERNAME" },
    });
  });
});

describe("login", () => {
  it("says the same for a wrong password, an unknown user and a deactivated one", async () => {
    const user = await newUser(server, "walter");
    const asked = await user.post("/account/deactivate");
    await user.post("/account/deactivate", { auth: auth(user, asked.body.session) });
    await newUser(server, "jesse");
    const answers = await Promise.all(
      [
        ["jesse", "wrong"],
        ["nobody", "secret"],
        ["walter", "secret"],
      ].map(([name = "", password]) => nobody(server).post("/login", passwordLogin(name, password))),
    );
    for (const answer of answers) expect(answer).toMatchObject({ status: 403, body: answers[0]?.body });
  });

  it("on a device that is known keeps the device and ends its older token", async () => {
    const phone = await newUser(server, "skyler");
    const again = await signIn(server, "skyler", phone.deviceId);
    expect((await phone.get("/account/whoami")).status).toBe(401);
    expect((await again.get("/devices")).body.devices).toHaveLength(1);
  });

  it("by token works once", async () => {
    const user = await newUser(server, "hank");
    const asked = await user.post("/_matrix/client/v1/login/get_token");
    const path = "/_matrix/client/v1/login/get_token";
    const { body } = await user.post(path, { auth: auth(user, asked.body.session) });
    const login = { type: "m.login.token", token: body.login_token };
    expect((await nobody(server).post("/login", login)).body.user_id).toBe(user.id);
    expect((await nobody(server).post("/login", login)).status).toBe(403);
  });

  it.each([
    ["/register", { username: "una", password: "secret", auth: { type: "m.login.dummy" } }],
    ["/login", passwordLogin("una")],
  ])("a device has a name of 1 to 255 characters: %s", async (path, body) => {
    for (const device_id of ["", "x".repeat(256)]) {
      const answer = await nobody(server).post(path, { ...body, device_id });
      expect(answer).toMatchObject({ status: 400, body: { errcode: "M_BAD_JSON" } });
    }
    expect((await nobody(server).post(path, { ...body, device_id: "x".repeat(255) })).status).toBe(200);
  });

  it("out of one device leaves the others, out of all leaves none", async () => {
    const laptop = await newUser(server, "saul");
    const phone = await laptop.device("PHONE");
    await laptop.post("/logout");
    expect((await laptop.get("/account/whoami")).status).toBe(401);
    expect((await phone.get("/account/whoami")).body).toMatchObject({
      user_id: laptop.id,
      device_id: "PHONE",
    });
    await phone.post("/logout/all");
    expect((await phone.get("/account/whoami")).body).toMatchObject({
      errcode: "M_UNKNOWN_TOKEN",
      soft_logout: false,
    });
  });
});

describe("refresh tokens", () => {
  const login = async (name: string) => {
    await newUser(server, name);
    return (await nobody(server).post("/login", passwordLogin(name, "secret", { refresh_token: true }))).body;
  };
  const refresh = async (token: unknown) => nobody(server).post("/refresh", { refresh_token: token });
  const whoami = (token: unknown) =>
    nobody(server).call("GET", "/account/whoami", undefined, { authorization: `Bearer ${String(token)}` });

  it("bring a new token when the old one has expired, which is a soft logout", async () => {
    const first = await login("gus");
    expect(first.expires_in_ms).toBe(300);
    await expect.poll(async () => (await whoami(first.access_token)).status).toBe(401);
    expect((await whoami(first.access_token)).body).toMatchObject({
      errcode: "M_UNKNOWN_TOKEN",
      soft_logout: true,
    });
    const second = (await refresh(first.refresh_token)).body;
    expect((await whoami(second.access_token)).body.device_id).toBe(first.device_id);
  });

  it("work again when the answer got lost, until the new token was used", async () => {
    const first = await login("mike");
    const lost = (await refresh(first.refresh_token)).body;
    const second = (await refresh(first.refresh_token)).body;
    expect(second.access_token).not.toBe(lost.access_token);
    expect((await whoami(second.access_token)).status).toBe(200);
    expect((await refresh(first.refresh_token)).status).toBe(401);
    // An access token ends by its own time.
    expect((await whoami(first.access_token)).status).toBe(200);
    expect((await refresh(second.refresh_token)).status).toBe(200);
  });
});

describe("user-interactive authentication", () => {
  it("guards deleting devices, and belongs to one purpose and one user", async () => {
    const [user, other] = await Promise.all([newUser(server, "todd"), newUser(server, "lydia")]);
    await user.device("PHONE");
    const asked = await user.delete("/devices/PHONE");
    expect(asked).toMatchObject({ status: 401, body: { flows: [{ stages: ["m.login.password"] }] } });
    const { session } = asked.body;
    expect((await user.delete("/devices/PHONE", { auth: auth(user, session, "wrong") })).status).toBe(401);
    expect((await user.delete("/devices/PHONE", { auth: auth(other, session) })).status).toBe(403);
    expect((await user.delete("/devices/TODD", { auth: auth(user, session) })).status).toBe(400);
    expect((await other.delete("/devices/PHONE", { auth: auth(other, session) })).status).toBe(400);
    expect((await user.delete("/devices/PHONE", { auth: auth(user, session) })).status).toBe(200);
    expect((await user.get("/devices/PHONE")).status).toBe(404);
    expect((await user.post("/delete_devices", { devices: [], auth: auth(user, session) })).status).toBe(400);
  });

  it("guards a change of password, which ends the other devices", async () => {
    const laptop = await newUser(server, "badger");
    const phone = await laptop.device("PHONE");
    const { session } = (await laptop.post("/account/password", { new_password: "better" })).body;
    const change = { new_password: "better", auth: auth(laptop, session) };
    expect((await laptop.post("/account/password", change)).status).toBe(200);
    expect((await laptop.get("/account/whoami")).status).toBe(200);
    expect((await phone.get("/account/whoami")).status).toBe(401);
    expect((await nobody(server).post("/login", passwordLogin("badger"))).status).toBe(403);
    expect((await nobody(server).post("/login", passwordLogin("badger", "better"))).status).toBe(200);
  });
});

it("what belongs to one user is refused to another", async () => {
  const [user, other] = await Promise.all([newUser(server, "holly"), newUser(server, "jane")]);
  await user.put(`/user/${user.id}/account_data/com.example`, { a: 1 });
  for (const path of [
    `/user/${user.id}/account_data/com.example`,
    `/user/${user.id}/filter/1`,
    `/user/${user.id}/rooms/!x:localhost/account_data/com.example`,
    `/user/${user.id}/rooms/!x:localhost/tags`,
  ]) {
    expect(await other.get(path), path).toMatchObject({ status: 403, body: { errcode: "M_FORBIDDEN" } });
  }
  expect((await other.put(`/user/${user.id}/account_data/com.example`, {})).status).toBe(403);
  expect((await other.post(`/user/${user.id}/filter`)).status).toBe(403);
  expect((await other.put(`/profile/${user.id}/displayname`, { displayname: "x" })).status).toBe(403);
  expect((await other.put(`/presence/${user.id}/status`, { presence: "online" })).status).toBe(403);
});

it("a new display name shows in every room", async () => {
  const user = await newUser(server, "marie");
  const rooms = await Promise.all([user.room(), user.room()]);
  await user.put(`/profile/${user.id}/displayname`, { displayname: "Marie S." });
  for (const room of rooms) {
    expect((await user.get(`/rooms/${room}/state/m.room.member/${user.id}`)).body.displayname).toBe(
      "Marie S.",
    );
  }
  expect((await nobody(server).get(`/profile/${user.id}`)).body).toEqual({ displayname: "Marie S." });
});

it("a long poll goes on when its token is refreshed in the meantime", async () => {
  const patient = await testServer();
  try {
    const user = await newUser(patient, "kim");
    const login = passwordLogin("kim", "secret", { refresh_token: true, device_id: "POLLER" });
    const first = (await nobody(patient).post("/login", login)).body;
    const get = (path: string, token: unknown) =>
      nobody(patient).call("GET", path, undefined, { authorization: `Bearer ${String(token)}` });
    const { body } = await get("/sync", first.access_token);
    const poll = get(`/sync?timeout=30000&since=${String(body.next_batch)}`, first.access_token);
    const second = (await nobody(patient).post("/refresh", { refresh_token: first.refresh_token })).body;
    await get("/account/whoami", second.access_token);
    const room = await user.room();
    expect((await poll).body).toMatchObject({ rooms: { join: { [room]: {} } } });
  } finally {
    await patient.close();
  }
});

it("a new name is taken, and told to the other rooms, where one room refuses it", async () => {
  const user = await newUser(server, "privateer");
  const [strict, open] = [await user.room(), await user.room()];
  await user.put(`/rooms/${strict}/state/m.room.join_rules/`, { join_rule: "private" });
  expect((await user.put(`/profile/${user.id}/displayname`, { displayname: "Anne" })).status).toBe(200);
  const name = async (room: string) =>
    (await user.get(`/rooms/${room}/state/m.room.member/${user.id}`)).body.displayname;
  expect([await name(strict), await name(open)]).toEqual(["privateer", "Anne"]);
});

it("a token is taken from the query of an old client as well, alone, and is not logged", async () => {
  const logged: unknown[] = [];
  const log = (...line: unknown[]) => logged.push(line);
  const chatty = await testServer({ logger: { debug: log, info: log, warn: log, error: log } });
  try {
    const user = await newUser(chatty, "oldtimer");
    const path = `/account/whoami?access_token=${String(user.token)}`;
    const missing = { status: 401, body: { errcode: "M_MISSING_TOKEN" } };
    const answer = await nobody(chatty).get(path);
    expect(answer).toMatchObject({ status: 200, body: { user_id: user.id, device_id: user.deviceId } });
    expect(await nobody(chatty).get("/account/whoami?access_token=guess")).toMatchObject({
      status: 401,
      body: { errcode: "M_UNKNOWN_TOKEN" },
    });
    expect(await nobody(chatty).get("/account/whoami?access_token=")).toMatchObject(missing);
    expect(await user.get(path)).toMatchObject(missing);
    expect((await nobody(chatty).get(`/none?access_token=${String(user.token)}`)).status).toBe(404);
    expect(logged.length).toBeGreaterThan(4);
    expect(JSON.stringify(logged)).not.toContain(user.token);
  } finally {
    await chatty.close();
  }
});

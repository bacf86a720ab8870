import { type Person, passwordOf, type Scenario, type Story } from "../story.ts";
import { passwordAuth } from "./start.ts";

export const accounts: Scenario[] = [
  {
    name: "logging in and out",
    async play(story) {
      await story.people("alice");
      const login = (change: object, shows?: string) =>
        story.nobody.post("/login", { ...loginOf(story, "alice"), ...change }, shows);
      await login({ password: "wrong" }, "a wrong password");
      await login({ identifier: { type: "m.id.user", user: "nobody.here" } }, "an unknown user");
      await login({ identifier: { type: "m.id.thirdparty", medium: "email", address: "a@b.c" } });
      await login({ password: 7 }, "a password that is no string");
      story.names.give("PHONE", "PHONE");
      const first = await login({ device_id: "PHONE", initial_device_display_name: "Phone" });
      const phone = personOf(story, "phone", first.text("access_token"));
      await phone.get("/account/whoami");
      await phone.get("/devices/PHONE");
      const again = await login({ device_id: "PHONE" }, "the same device once more");
      await phone.get("/account/whoami", "its earlier token");
      const phone2 = personOf(story, "phone2", again.text("access_token"));
      await login({ identifier: { type: "m.id.user", user: story.idOf("alice") }, device_id: "TABLET" });
      await phone2.get("/devices");
      await phone2.post("/logout", {});
      await phone2.get("/account/whoami", "after logging out");
      const last = personOf(story, "last", (await login({ device_id: "LAST" })).text("access_token"));
      await last.get("/devices");
      await last.post("/logout/all", {});
      await last.get("/account/whoami", "after logging out everywhere");
    },
  },
  {
    name: "refresh tokens",
    async play(story) {
      await story.people("alice");
      const first = await story.nobody.post("/login", {
        ...loginOf(story, "alice"),
        device_id: "PHONE",
        refresh_token: true,
      });
      const phone = personOf(story, "phone", first.text("access_token"));
      await phone.get("/account/whoami");
      const old = first.text("refresh_token");
      const second = await story.nobody.post("/refresh", { refresh_token: old });
      const refreshed = personOf(story, "refreshed", second.text("access_token"));
      await refreshed.get("/account/whoami");
      await phone.get("/account/whoami", "the access token from before");
      await story.nobody.post("/refresh", { refresh_token: old }, "the used refresh token");
      await story.nobody.post("/refresh", { refresh_token: "never_given" });
      await story.nobody.post("/refresh", {}, "no refresh token");
    },
  },
  {
    name: "devices",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      await story.device("alice", "PHONE");
      await story.device("alice", "TABLET");
      await alice.get("/devices");
      await alice.put("/devices/PHONE", { display_name: "Alice's phone" });
      await alice.get("/devices/PHONE");
      await alice.put("/devices/PHONE", { display_name: 7 });
      await alice.put("/devices/NONE", { display_name: "x" }, "a device that is not there");
      await alice.get("/devices/NONE");
      await bob.get("/devices/PHONE", "somebody else's");
      const asked = await alice.delete("/devices/PHONE", {}, "without authentication");
      const session = asked.text("session");
      await alice.delete(
        "/devices/PHONE",
        { auth: passwordAuth(story, "alice", session, "wrong") },
        "with a wrong password",
      );
      await alice.delete(
        "/devices/PHONE",
        { auth: passwordAuth(story, "bob", session, passwordOf("bob")) },
        "with somebody else's password",
      );
      await alice.delete(
        "/devices/PHONE",
        { auth: passwordAuth(story, "alice", session, passwordOf("alice")) },
        "with the password",
      );
      await alice.get("/devices/PHONE");
      const many = await alice.post("/delete_devices", { devices: ["TABLET"] });
      await alice.post("/delete_devices", {
        devices: ["TABLET"],
        auth: passwordAuth(story, "alice", many.text("session"), passwordOf("alice")),
      });
      await alice.get("/devices");
    },
  },
  {
    name: "password and deactivation",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const phone = await story.device("alice", "PHONE");
      const room = await alice.room({ preset: "public_chat" });
      await bob.joined(room);
      const asked = await alice.post("/account/password", { new_password: "another" });
      await alice.post("/account/password", {
        new_password: "another",
        logout_devices: true,
        auth: passwordAuth(story, "alice", asked.text("session"), passwordOf("alice")),
      });
      await phone.get("/account/whoami", "the other devices are logged out");
      await alice.get("/account/whoami");
      await story.nobody.post("/login", loginOf(story, "alice"), "with the old password");
      const deactivating = await alice.post("/account/deactivate", {});
      await alice.post("/account/deactivate", {
        auth: passwordAuth(story, "alice", deactivating.text("session"), "another"),
      });
      await alice.get("/account/whoami");
      await story.nobody.post(
        "/login",
        { ...loginOf(story, "alice"), password: "another" },
        "into a deactivated account",
      );
      await bob.until(
        `/rooms/${encodeURIComponent(room)}/state/m.room.member/${encodeURIComponent(alice.id)}`,
        (answer) => answer.text("membership") === "leave",
        "who is gone has left",
      );
    },
  },
  {
    name: "profiles",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const path = `/profile/${encodeURIComponent(alice.id)}`;
      const room = await alice.room({ preset: "public_chat" });
      await alice.get(path);
      await alice.get(`${path}/avatar_url`, "an avatar that is not set");
      await alice.put(`${path}/displayname`, { displayname: "Alice" });
      await alice.put(`${path}/avatar_url`, { avatar_url: "mxc://localhost/abcdefghijklmnop" });
      await story.nobody.get(path);
      await bob.get(`${path}/displayname`);
      await bob.get(`${path}/avatar_url`);
      await bob.put(`${path}/displayname`, { displayname: "Mallory" }, "somebody else's");
      await alice.put(`${path}/displayname`, { displayname: 7 });
      await alice.put(`${path}/displayname`, {});
      await alice.put(`${path}/displayname`, { displayname: "x".repeat(300) }, "too long a name");
      await bob.get(`/profile/${encodeURIComponent(story.idOf("carol"))}`, "of somebody unknown");
      await alice.until(
        `/rooms/${encodeURIComponent(room)}/state/m.room.member/${encodeURIComponent(alice.id)}`,
        (answer) => answer.value("avatar_url") !== undefined && answer.value("displayname") === "Alice",
        "rooms learn of it",
      );
    },
  },
  {
    name: "a profile's fields",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const path = `/profile/${encodeURIComponent(alice.id)}`;
      await alice.put(`${path}/avatar_url`, { avatar_url: "mxc://localhost/abcdefghijklmnop" });
      await bob.delete(`${path}/avatar_url`, undefined, "somebody else's");
      await alice.delete(`${path}/avatar_url`);
      await alice.get(`${path}/avatar_url`);
      await alice.delete(`${path}/displayname`);
      await alice.get(path);
    },
  },
  {
    name: "a token to log in with",
    async play(story) {
      const [alice] = await story.people("alice");
      const path = "/_matrix/client/v1/login/get_token";
      await story.nobody.post(path, {}, "without a token");
      const asked = await alice.post(path, {});
      const given = await alice.post(path, {
        auth: passwordAuth(story, "alice", asked.text("session"), passwordOf("alice")),
      });
      const login = { type: "m.login.token", token: given.text("login_token"), device_id: "SECOND" };
      await story.nobody.post("/login", login);
      await story.nobody.post("/login", login, "a second time");
      await story.nobody.post("/login", { ...login, token: "never given" });
    },
  },
  {
    name: "the user directory",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({ preset: "public_chat" });
      await bob.joined(room);
      await alice.post("/user_directory/search", { search_term: "nobody is called this" });
      await alice.post("/user_directory/search", {});
      await story.nobody.post("/user_directory/search", { search_term: "bob" });
    },
  },
  {
    name: "presence",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const path = `/presence/${encodeURIComponent(alice.id)}/status`;
      await alice.put(path, { presence: "unavailable", status_msg: "at lunch" });
      await alice.get(path);
      await bob.put(path, { presence: "online" }, "somebody else's");
      await alice.put(path, { presence: "asleep" }, "a state that is none");
    },
  },
];

function loginOf(story: Story, name: string): object {
  return {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: story.localpart(name) },
    password: passwordOf(name),
  };
}

function personOf(story: Story, name: string, token: string): Person {
  return story.as(story.nobody, token, name);
}

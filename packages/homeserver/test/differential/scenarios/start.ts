import type { Scenario, Story } from "../story.ts";

/** What a client asks before it has an account, and what is refused before anything else is looked at. */
export const start: Scenario[] = [
  {
    name: "what a client asks at start",
    async play(story) {
      const [alice] = await story.people("alice");
      await story.nobody.get("/login");
      await story.nobody.get("/_matrix/client/versions");
      await story.nobody.get("/.well-known/matrix/client");
      await alice.get("/capabilities");
      await alice.get("/pushrules/");
      await alice.get("/pushrules/global/");
      await alice.get("/pushers");
      await alice.get("/voip/turnServer");
      await alice.get("/thirdparty/protocols");
      await alice.get("/_matrix/client/v1/media/config");
      await alice.get("/joined_rooms");
      await alice.get("/register/available?username=free.name");
      await alice.get(`/register/available?username=${story.localpart("alice")}`, "a taken name");
      await alice.get("/register/available?username=No%20Spaces", "a name that is none");
    },
  },
  {
    name: "requests that no endpoint takes",
    async play(story) {
      const [alice] = await story.people("alice");
      const { nobody } = story;
      const stranger = story.as(alice, "not_a_token", "stranger");
      await nobody.get("/account/whoami", "no token");
      await stranger.get("/account/whoami", "an unknown token");
      await alice.get(`/account/whoami?access_token=${alice.token}`, "a token in both places");
      await nobody.get(`/account/whoami?access_token=${alice.token}`, "a token in the query alone");
      await nobody.get("/account/whoami?access_token=not_a_token", "an unknown token in the query");
      await nobody.get("/capabilities");
      await nobody.post("/createRoom", {});
      await nobody.get("/sync");
      await stranger.get("/sync");
      await nobody.get("/no/such/endpoint");
      await alice.get("/_matrix/client/v3/no/such/endpoint");
      await alice.get("/_matrix/client/v9/account/whoami", "a version that is none");
      await alice.post("/account/whoami", {}, "a method that it has not");
      await alice.delete("/joined_rooms");
      await alice.post("/createRoom", "{not json", "no JSON");
      await alice.post("/createRoom", "[]", "JSON, but no object");
      await alice.post("/createRoom", '"text"', "JSON, but a string");
      await alice.post("/createRoom", "", "an empty body");
      await nobody.post("/login", "{", "no JSON");
      await nobody.post("/login", {}, "no type");
      await nobody.post("/login", { type: "m.login.unknown" });
      await nobody.post("/login", { type: "m.login.password" }, "no identifier");
    },
  },
  {
    name: "registration",
    async play(story) {
      const username = story.localpart("carol");
      const asked = await story.nobody.post("/register", {
        username,
        password: "a password",
        device_id: "NEW",
      });
      const auth = { type: "m.login.dummy", session: asked.text("session") };
      const carol = story.as(
        story.nobody,
        (
          await story.nobody.post("/register", { username, password: "a password", device_id: "NEW", auth })
        ).text("access_token"),
        "carol",
      );
      await carol.get("/account/whoami");
      await carol.get("/devices");
      await carol.get("/account/3pid");
      await story.nobody.get("/_matrix/client/v1/register/m.login.registration_token/validity?token=none");
      const [alice] = await story.people("alice");
      const ask = (body: object, shows: string) => story.nobody.post("/register", body, shows);
      await ask({ username: story.localpart("alice"), password: "x" }, "a taken name");
      await ask({ username: "Not Allowed!", password: "x" }, "a name that is none");
      await ask({ username: 7, password: "x" }, "a name that is no string");
      const kind = await story.nobody.post("/register?kind=robot", {}, "an unknown kind");
      await alice.post("/account/deactivate", { erase: kind.status === 999 }, "without authentication");
    },
  },
];

/** The interactive authentication with a password, continued in the session of `first`. */
export function passwordAuth(story: Story, name: string, session: string, password: string): object {
  return {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: story.localpart(name) },
    password,
    session,
  };
}

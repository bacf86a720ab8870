/** Logins without a password of ours: a browser (Synapse, with a CAS server behind it), or a token that works once. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chosenKind, startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { browse, type Cas, startCas } from "../support/cas.ts";
import { bareMachine, type Machine, newMachine, type RunningCommand } from "../support/machine.ts";
import { failure, type Up } from "../support/set-up.ts";

const addressIn = ({ stderr }: RunningCommand) => /https?:\S+redirectUrl=\S+/.exec(stderr)?.[0] ?? "";

if (chosenKind() === "synapse")
  describe("on a Synapse that has no passwords", () => {
    let cas: Cas;
    let homeserver: TestHomeserver;
    let machine: Machine;
    beforeAll(async () => {
      cas = await startCas("vera");
      homeserver = await startHomeserverForTests({ cas: cas.url });
      machine = await bareMachine("laptop", homeserver);
      await machine.startDaemon();
    });
    afterAll(async () => {
      await machine?.close();
      await homeserver?.close();
      await cas?.close();
    });
    const login = () => ["auth", "login", "--homeserver", homeserver.url, "--sso"];

    test("a browser on this machine comes back by itself", async () => {
      const live = machine.spawn(login());
      await live.until("Open this address");
      const answer = await fetch(await browse(addressIn(live)));
      expect(await answer.text()).toContain("close this page");
      const ended = await live.ended;
      expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining("@vera:localhost") });
      await machine.ask(["auth", "logout"]);
    });

    test("of a browser elsewhere the last address is pasted, and no other one is taken", async () => {
      const live = machine.spawn(login());
      await live.until("Open this address");
      const end = await browse(addressIn(live));
      const other = new URL(end);
      other.pathname = "/another";
      live.child.stdin.write(`${other.href}\n`);
      await live.until("not the address");
      live.child.stdin.write(`${end}\n`);
      expect(await live.ended).toMatchObject({ code: 0 });
      await machine.ask(["auth", "logout"]);
    });

    test("`up --sso` sets the machine up with that account", async () => {
      const live = machine.spawn(["up", "--homeserver", homeserver.url, "--sso", "--json"]);
      await live.until("Open this address");
      await fetch(await browse(addressIn(live)));
      const { code, stdout } = await live.ended;
      expect(code).toBe(0);
      const up: Up = JSON.parse(stdout);
      expect(up).toMatchObject({
        account: { user_id: "@vera:localhost" },
        changed: expect.arrayContaining(["account"]),
      });
    });
  });

describe("on a server with passwords", () => {
  let homeserver: TestHomeserver;
  let machine: Machine;
  beforeAll(async () => {
    homeserver = await startHomeserverForTests();
    machine = await newMachine({ name: "laptop", homeserver });
    await machine.startDaemon();
  });
  afterAll(async () => {
    await machine?.close();
    await homeserver?.close();
  });

  test("a token for m.login.token logs in once", async () => {
    const login = ["auth", "login", "--homeserver", homeserver.url, "--login-token-stdin"];
    const token = await loginToken(homeserver, machine);
    expect(await machine.ask(login, { stdin: `${token}\n` })).toMatchObject({ user_id: machine.user });
    await machine.ask(["auth", "logout"]);
    expect(await failure(machine, login, { stdin: `${token}\n` })).toMatchObject({
      ...{ exit: 77, code: "MX_LOGIN_REFUSED" },
    });
  });

  test("single sign-on that is not offered is an error that says what is", async () => {
    expect(await failure(machine, ["auth", "login", "--homeserver", homeserver.url, "--sso"])).toMatchObject({
      ...{ exit: 77, code: "MX_LOGIN_REFUSED", message: expect.stringContaining("m.login.password") },
      hint: expect.stringContaining("--user"),
    });
  });
});

/** POST /login/get_token of another session of that user. */
async function loginToken(homeserver: TestHomeserver, { account, password }: Machine): Promise<string> {
  const identifier = { type: "m.id.user", user: account };
  const proof = { type: "m.login.password", identifier, password };
  const post = async (path: string, body: object, token?: string) => {
    const response = await fetch(`${homeserver.url}/_matrix/client/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
    const answer: { access_token?: string; login_token?: string; session?: string } = JSON.parse(
      await response.text(),
    );
    return answer;
  };
  const { access_token } = await post("v3/login", proof);
  const { session } = await post("v1/login/get_token", {}, access_token);
  const { login_token = "" } = await post(
    "v1/login/get_token",
    { auth: { ...proof, session } },
    access_token,
  );
  return login_token;
}

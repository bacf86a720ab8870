/** Login at a Synapse that has handed its accounts to an OAuth 2.0 server, as matrix.org has. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { bareMachine, type Machine, type RunningCommand } from "../support/machine.ts";
import { type OAuthServer, startOAuthServer } from "../support/oauth-server.ts";
import { failure, type Up } from "../support/set-up.ts";

/** Of an access token, seconds: so short that every test sees some of them run out. */
const LIFE = 2;

describe("on a Synapse that knows logins by OAuth 2.0 alone", () => {
  let oauth: OAuthServer;
  let homeserver: TestHomeserver;
  let machine: Machine;
  beforeAll(async () => {
    oauth = await startOAuthServer("vera", LIFE);
    homeserver = await startHomeserverForTests({ kind: "synapse", oauth });
    oauth.homeserver = homeserver.url;
    machine = await bareMachine("laptop", homeserver);
    await machine.startDaemon();
  });
  afterAll(async () => {
    await machine?.close();
    await homeserver?.close();
    await oauth?.close();
  });

  const login = () => ["auth", "login", "--homeserver", homeserver.url, "--sso"];
  /** Opens the address that a command shows; where the browser is sent at the end. */
  const browse = async (live: RunningCommand): Promise<string> => {
    await live.until("Open this address");
    const address = /https?:\S+redirect_uri=\S+/.exec(live.stderr)?.[0] ?? "";
    const response = await fetch(address, { redirect: "manual" });
    return response.headers.get("location") ?? `${response.status} ${await response.text()}`;
  };
  const logIn = async () => {
    const live = machine.spawn(login());
    await fetch(await browse(live));
    return live.ended;
  };
  /** Whatever is asked of the homeserver now comes with a token that has run out. */
  const runOut = () => sleep(LIFE * 1_000 + 100);
  const works = async (name: string) =>
    expect(await machine.ask(["workspace", "create", name])).toMatchObject({ name });

  test("a browser on this machine comes back by itself", async () => {
    expect(await logIn()).toMatchObject({ code: 0, stdout: expect.stringContaining("@vera:localhost") });
    const { account } = await machine.ask<{ account: { device_id: string } }>(["auth", "status"]);
    expect(oauth.devices).toEqual([account.device_id]);
  });

  test("tokens that run out are renewed, while it runs and after it was restarted", async () => {
    const before = oauth.refreshed;
    await runOut();
    await works("first");
    await machine.ask(["daemon", "stop"]);
    await runOut();
    await machine.startDaemon();
    await works("second");
    expect(oauth.refreshed).toBeGreaterThanOrEqual(before + 2);
    await runOut();
    const { stdout } = await machine.run(["doctor", "--json"]);
    const { findings }: { findings: { check: string; level: string }[] } = JSON.parse(stdout);
    expect(findings.find(({ check }) => check === "login")).toMatchObject({ level: "ok" });
  });

  test.each(["oauth.before_stored", "oauth.after_stored"])(
    "a daemon that is killed while it renews one (%s) goes on with the same login",
    async (place) => {
      await machine.ask(["daemon", "stop"]);
      await runOut();
      await machine.run(["daemon", "start"], { env: { MX_AGENT_FAILPOINT: place } });
      while ((await machine.run(["daemon", "status"])).code === 0) await sleep(20);
      await machine.startDaemon();
      await works(place);
      expect(oauth.devices).toHaveLength(1);
    },
  );

  test("no token is in the log, and none in what commands answer", async () => {
    const log = await readFile(join(machine.home, "data", "daemon.log"), "utf8");
    const { stdout } = await machine.run(["status", "--json"]);
    expect([...oauth.tokens].filter((token) => log.includes(token) || stdout.includes(token))).toEqual([]);
  });

  test("logging out ends the login where it was made", async () => {
    expect(await machine.ask(["auth", "logout"])).toMatchObject({ server_side: true });
    expect(oauth.devices).toEqual([]);
  });

  test("of a browser elsewhere the last address is pasted, and that of another login is not taken", async () => {
    const live = machine.spawn(login());
    const end = await browse(live);
    const other = new URL(end);
    other.searchParams.set("state", "AAAAAAAAAAAAAAAAAAAAAA");
    live.child.stdin.write(`${other.href}\n`);
    await live.until("not the address");
    live.child.stdin.write(`${end}\n`);
    expect(await live.ended).toMatchObject({ code: 0 });
  });

  test("a login that its owner ends elsewhere is over here, and a new one can follow", async () => {
    await oauth.endAll();
    await runOut();
    await machine.run(["workspace", "create", "too-late"]);
    expect(await failure(machine, ["auth", "status"])).toMatchObject({
      ...{ exit: 3, code: "MX_NOT_LOGGED_IN", message: expect.stringContaining("@vera:localhost") },
    });
    expect(await logIn()).toMatchObject({ code: 0 });
    await works("again");
    await machine.ask(["auth", "logout"]);
  });

  test("who says no in the browser, and who comes with a password, is told what to do", async () => {
    oauth.deny = true;
    const live = machine.spawn(login());
    await fetch(await browse(live));
    expect(await live.ended).toMatchObject({ code: 77, stderr: expect.stringContaining("access_denied") });
    oauth.deny = false;
    const password = [...login().slice(0, -1), "--user", "vera", "--password-stdin"];
    for (const args of [password, [...password, "--register"]])
      expect(await failure(machine, args, { stdin: "secret\n" })).toMatchObject({
        ...{ exit: 77, code: "MX_LOGIN_REFUSED", hint: expect.stringContaining("--sso") },
      });
  });

  test("`up --sso` sets the machine up with that account", async () => {
    const live = machine.spawn(["up", "--homeserver", homeserver.url, "--sso", "--json"]);
    await fetch(await browse(live));
    const { code, stdout, stderr } = await live.ended;
    expect(code, stderr).toBe(0);
    const up: Up = JSON.parse(stdout);
    expect(up).toMatchObject({ account: { user_id: "@vera:localhost" } });
  });
});

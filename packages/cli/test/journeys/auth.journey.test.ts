import { readdir, readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { freePort, startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { closeAll, type Machine, newMachine, startMachine } from "../support/machine.ts";

let homeserver: TestHomeserver;
const machines: Machine[] = [];
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
});
afterAll(async () => {
  await closeAll(machines).finally(() => homeserver?.close());
});

async function box(): Promise<Machine> {
  const machine = await newMachine({ name: "box", homeserver });
  machines.push(machine);
  await machine.startDaemon();
  return machine;
}

const login = (machine: Machine, url: string, password = machine.password) =>
  machine.run(["auth", "login", "--homeserver", url, "--user", machine.user, "--password-stdin"], {
    stdin: `${password}\n`,
  });

interface Status {
  account: { user_id: string; device_id: string } | null;
  sync: { state: string; detail: string | null };
}
const syncState = async (machine: Machine) => (await machine.ask<Status>(["daemon", "status"])).sync.state;

/** A look, of a session of its own, at the devices of a user that somebody can encrypt for. */
async function lookAtDevices({ user, password }: Machine): Promise<() => Promise<string[]>> {
  const post = async <T>(path: string, body: object, headers: Record<string, string> = {}): Promise<T> => {
    const url = `${homeserver.url}/_matrix/client/v3/${path}`;
    return (await fetch(url, { method: "POST", headers, body: JSON.stringify(body) })).json() as Promise<T>;
  };
  const login = { type: "m.login.password", identifier: { type: "m.id.user", user }, password };
  const { access_token } = await post<{ access_token: string }>("login", login);
  const headers = { authorization: `Bearer ${access_token}` };
  return async () => {
    type Keys = { device_keys: Record<string, object> };
    const { device_keys } = await post<Keys>("keys/query", { device_keys: { [user]: [] } }, headers);
    return Object.keys(device_keys[user] ?? {});
  };
}

describe("logging in", () => {
  test("with a password from stdin, and out again", async () => {
    const machine = await box();
    expect(await machine.run(["auth", "status"])).toMatchObject({ code: 3 });
    const devices = await lookAtDevices(machine);
    expect(await login(machine, homeserver.url)).toMatchObject({ code: 0 });
    const known = await devices();
    const status = await machine.ask<Status>(["auth", "status"]);
    expect(status.account?.user_id).toBe(machine.user);
    expect(known).toContain(status.account?.device_id);
    await eventually(async () => (await syncState(machine)) === "healthy");
    expect(await machine.ask(["auth", "logout"])).toMatchObject({ user_id: machine.user, server_side: true });
    expect(await machine.run(["auth", "status"])).toMatchObject({ code: 3 });
  });

  test("asks a person for the password, twice for a new account, and shows nothing of what is typed", async () => {
    const machine = await box();
    const atTerminal = async (
      user: string,
      flags: string[],
      answers: [question: string, typed: string][],
    ) => {
      const login = ["auth", "login", "--homeserver", homeserver.url, "--user", user];
      const running = machine.spawnAtTerminal([...login, ...flags]);
      for (const [question, typed] of answers) {
        await running.until(question);
        running.child.stdin.write(typed);
      }
      return running.ended;
    };
    const asked = `Password of ${machine.user}: `;
    const known = await atTerminal(machine.user, [], [[asked, `x\u007f${machine.password}\r`]]);
    expect(known.code, known.stdout).toBe(0);
    expect(known.stdout).toContain(asked);
    expect(known.stdout).not.toContain(machine.password);
    await machine.ask(["auth", "logout"]);
    const user = `${machine.account}-new`;
    const twice = (again: string): [string, string][] => [
      [`Password of ${user}: `, "a new long password\r"],
      ["Once more: ", `${again}\r`],
    ];
    const differing = await atTerminal(user, ["--register"], twice("another password"));
    expect(differing).toMatchObject({
      code: 64,
      stdout: expect.stringContaining("the two passwords differ"),
    });
    expect(await atTerminal(user, ["--register"], twice("a new long password"))).toMatchObject({ code: 0 });
    expect((await atTerminal(user, [], [["Password", "\u0003"]])).code).toBe(130);
  });

  test("with a password from the environment", async () => {
    const machine = await box();
    const args = ["auth", "login", "--homeserver", homeserver.url, "--user", machine.user];
    expect(await machine.run(args, { env: { MX_AGENT_PASSWORD: machine.password } })).toMatchObject({
      code: 0,
    });
  });

  test("with an access token from stdin", async () => {
    const machine = await box();
    const { access_token } = await tokenOf(machine);
    const args = ["auth", "login", "--homeserver", homeserver.url, "--token-stdin"];
    expect(await machine.run(args, { stdin: `${access_token}\n` })).toMatchObject({ code: 0 });
    expect((await machine.ask<Status>(["auth", "status"])).account?.user_id).toBe(machine.user);
  });

  test("never shows a password in an argument: there is no flag that takes one", async () => {
    const machine = await box();
    const args = ["auth", "login", "--homeserver", homeserver.url, "--user", machine.user];
    expect(await machine.run([...args, "--password", "x"])).toMatchObject({ code: 64 });
    const none = await machine.run(args);
    expect(none.code).toBe(64);
    expect(none.stderr).toContain("--password-stdin");
  });

  test("leaves the password in no file, and the token in none that others can read", async () => {
    const machine = await box();
    await login(machine, homeserver.url);
    const files = await readdir(machine.home, { recursive: true, withFileTypes: true });
    for (const file of files.filter((entry) => entry.isFile())) {
      const content = await readFile(join(file.parentPath, file.name));
      expect([file.name, content.includes(machine.password)]).toEqual([file.name, false]);
    }
  });

  test("with the wrong password is refused by the server: 77, and says whose password", async () => {
    const machine = await box();
    const refused = await login(machine, homeserver.url, "wrong");
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain("MX_LOGIN_REFUSED");
    expect(refused.stderr).not.toContain("wrong\n");
  });

  test("at a URL where nobody listens is 69", async () => {
    const machine = await box();
    const refused = await login(machine, `http://127.0.0.1:${await freePort()}`);
    expect(refused.code).toBe(69);
    expect(refused.stderr).toContain("MX_HOMESERVER_UNREACHABLE");
  });

  test("at a server that answers HTML is 69, and says that it is no homeserver", async () => {
    const machine = await box();
    const { url, close } = await webServer((_, send) => send(200, "text/html", "<h1>Welcome to nginx</h1>"));
    const refused = await login(machine, url);
    await close();
    expect(refused.code).toBe(69);
    expect(refused.stderr).toContain("MX_NOT_A_HOMESERVER");
  });

  test("at a server name goes where its .well-known says", async () => {
    const machine = await box();
    const { url, close } = await webServer((path, send) =>
      path === "/.well-known/matrix/client"
        ? send(200, "application/json", JSON.stringify({ "m.homeserver": { base_url: homeserver.url } }))
        : send(404, "text/html", "not here"),
    );
    const done = await login(machine, url);
    await close();
    expect(done).toMatchObject({ code: 0 });
    expect(
      (await machine.ask<{ account: { homeserver: string } }>(["auth", "status"])).account.homeserver,
    ).toBe(homeserver.url);
  });

  test("at something that is no URL is a mistake", async () => {
    const machine = await box();
    const refused = await login(machine, "not a url");
    expect([64, 69]).toContain(refused.code);
    expect(refused.stderr).not.toContain("MX_INTERNAL");
  });
});

describe("a token that the server revoked", () => {
  test("is noticed and said, and a new login goes on without a restart", async () => {
    const machine = await startMachine({ name: "box", homeserver });
    machines.push(machine);
    const { device_id = "" } = (await machine.ask<Status>(["auth", "status"])).account ?? {};
    await eventually(async () => (await syncState(machine)) === "healthy");
    await logOutElsewhere(machine);
    await eventually(async () => (await syncState(machine)) === "logged_out");
    const said = await machine.run(["daemon", "status"]);
    expect(said.stdout).toMatch(/logged-out/);
    expect(said.stdout).toContain(`${machine.user} on ${homeserver.url} (logged out)`);
    for (const again of [false, true]) {
      // What the server said outlives the daemon that heard it.
      if (again) await machine.run(["daemon", "restart"]);
      const status = await machine.run(["auth", "status", "--json"]);
      expect(status.code).toBe(3);
      const { error } = JSON.parse(status.stdout);
      expect(error).toMatchObject({
        code: "MX_NOT_LOGGED_IN",
        hint: expect.stringContaining("auth login"),
        details: { user_id: machine.user, device_id },
      });
      expect(error.message).toMatch(/has logged @\S+ out \(.+\)$/);
      const exec = await machine.run(["exec", "--room", "r", "--agent", "a", "--", "true"]);
      expect(exec).toMatchObject({ code: 3, stderr: expect.stringContaining(error.message) });
    }
    const after = await machine.daemonPid();
    expect(await login(machine, homeserver.url)).toMatchObject({ code: 0 });
    await eventually(async () => (await syncState(machine)) === "healthy");
    expect(await machine.daemonPid()).toBe(after);
    expect((await machine.ask<Status>(["auth", "status"])).account?.device_id).not.toBe("");
    expect(device_id).not.toBe("");
  });
});

describe("a homeserver that", () => {
  test("goes away and comes back: the daemon says so, and goes on", async () => {
    const own = await startHomeserverForTests();
    const machine = await startMachine({ name: "box", homeserver: own });
    try {
      await eventually(async () => (await syncState(machine)) === "healthy");
      await own.kill("SIGKILL");
      await eventually(async () => (await syncState(machine)) === "degraded");
      expect((await machine.run(["daemon", "status"])).code).toBe(0);
      await own.restart();
      await eventually(async () => (await syncState(machine)) === "healthy");
    } finally {
      await machine.close();
      await own.close();
    }
  });

  test("is down when the daemon starts is waited for", async () => {
    const own = await startHomeserverForTests();
    const machine = await startMachine({ name: "box", homeserver: own });
    try {
      await eventually(async () => (await syncState(machine)) === "healthy");
      await machine.run(["daemon", "stop"]);
      await own.kill("SIGTERM");
      await machine.startDaemon();
      const status = await machine.ask<Status>(["daemon", "status"]);
      expect(status.account?.user_id).toBe(machine.user);
      expect(status.sync.state).not.toBe("healthy");
      await own.restart();
      await eventually(async () => (await syncState(machine)) === "healthy");
    } finally {
      await machine.close();
      await own.close();
    }
  });
});

async function tokenOf(machine: Machine): Promise<{ access_token: string; device_id: string }> {
  const response = await fetch(`${homeserver.url}/_matrix/client/v3/login`, {
    method: "POST",
    body: JSON.stringify({
      type: "m.login.password",
      identifier: { type: "m.id.user", user: machine.user },
      password: machine.password,
    }),
  });
  return (await response.json()) as { access_token: string; device_id: string };
}

/** The person logs all devices out, from another client. */
async function logOutElsewhere(machine: Machine): Promise<void> {
  const { access_token } = await tokenOf(machine);
  const done = await fetch(`${homeserver.url}/_matrix/client/v3/logout/all`, {
    method: "POST",
    headers: { authorization: `Bearer ${access_token}` },
    body: "{}",
  });
  expect(done.status).toBe(200);
}

async function webServer(
  answer: (path: string, send: (status: number, type: string, body: string) => void) => void,
): Promise<{ url: string; close(): Promise<void> }> {
  const server: Server = createServer((request, response) =>
    answer(request.url ?? "", (status, type, body) => {
      response.writeHead(status, { "content-type": type });
      response.end(body);
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { freePort, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { closeAll, type Machine, newMachine } from "../support/machine.ts";

let box: Machine;
let data: string;
beforeAll(async () => {
  // Its accounts are made on the homeserver that the tests start, so that there is nothing to register yet.
  const none = { name: "localhost", url: "", registerUser: async () => {} } as unknown as TestHomeserver;
  box = await newMachine({ name: "box", homeserver: none });
  data = join(await mkdtemp(join(tmpdir(), "mx-hs-")), "data");
});
afterEach(async () => {
  await box.run(["homeserver", "stop", "--data", data]);
});
afterAll(async () => {
  await closeAll([box]).finally(() => rm(join(data, ".."), { recursive: true, force: true }));
});

interface Started {
  url: string;
}

const start = (...args: string[]) =>
  box.ask<Started>(["homeserver", "start", "--data", data, "--bind", "127.0.0.1:0", ...args]);

describe("the embedded homeserver", () => {
  test("starts in the background, is asked, and stops", async () => {
    expect(await box.run(["homeserver", "status", "--data", data])).toMatchObject({ code: 3 });
    const { url } = await start();
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const status = await box.ask<{ url: string; pid: number }>(["homeserver", "status", "--data", data]);
    expect(status.url).toBe(url);
    expect(await box.run(["homeserver", "stop", "--data", data])).toMatchObject({ code: 0 });
    expect(await box.run(["homeserver", "status", "--data", data])).toMatchObject({ code: 3 });
  });

  test("keeps no password of who started it", async () => {
    const env = { MX_AGENT_PASSWORD: "for one login" };
    const started = await box.run(["homeserver", "start", "--data", data, "--bind", "127.0.0.1:0"], { env });
    expect(started).toMatchObject({ code: 0 });
    const { pid } = await box.ask<{ pid: number }>(["homeserver", "status", "--data", data]);
    expect(await readFile(`/proc/${pid}/environ`, "utf8")).not.toContain("for one login");
  });

  test("takes who was added, and who has a token, and nobody else", async () => {
    const { url } = await start();
    const add = ["homeserver", "user", "add", "ada", "--data", data, "--password-stdin"];
    expect(await box.run(add, { stdin: "a password for ada\n" })).toMatchObject({ code: 0 });
    expect((await box.run(["homeserver", "user", "list", "--data", data])).stdout).toContain(
      "@ada:localhost",
    );
    await box.startDaemon();
    const login = ["auth", "login", "--homeserver", url, "--user"];
    const password = ["--password-stdin"];
    expect(await box.run([...login, "ada", ...password], { stdin: "a password for ada\n" })).toMatchObject({
      code: 0,
    });
    await box.ask(["auth", "logout"]);
    const register = [...password, "--register"];
    const closed = await box.run([...login, "bea", ...register], { stdin: "a password for bea\n" });
    expect(closed.code).not.toBe(0);
    const { token } = await box.ask<{ token: string }>(["homeserver", "token", "create", "--data", data]);
    const opened = await box.run([...login, "bea", ...register, "--registration-token-stdin"], {
      stdin: `a password for bea\n${token}\n`,
    });
    expect(opened).toMatchObject({ code: 0 });
    await box.ask(["auth", "logout"]);
  });

  test("listens beyond this host only when it is told to, and forgets only when it is told to", async () => {
    const args = ["homeserver", "start", "--data", data, "--bind"];
    for (const where of [[], ["--foreground"]]) {
      const remote = await box.run([...args, "0.0.0.0:0", ...where]);
      expect(remote.code).toBe(64);
      expect(remote.stderr).toMatch(/plain HTTP.*--allow-remote/);
    }
    const nowhere = await box.run(["homeserver", "start", "--bind", "127.0.0.1:0"]);
    expect(nowhere.code).toBe(64);
    expect(nowhere.stderr).toContain("--ephemeral");
    const both = await box.run([...args, "127.0.0.1:0", "--ephemeral"]);
    expect(both.code).toBe(64);
    expect(both.stderr).toContain("one of the two");
  });

  test("counts what its users do, as the operator says", async () => {
    const wrong = await box.run(["homeserver", "start", "--data", data, "--limit", "dance=1/1"]);
    expect(wrong.code).toBe(64);
    expect(wrong.stderr).toContain("message");
    const statuses = async (url: string, from = (_: number) => "") => {
      const found: number[] = [];
      for (let i = 0; i < 4; i++) {
        const headers = { "x-forwarded-for": from(i) };
        found.push(
          (await fetch(`${url}/_matrix/client/v3/login`, { method: "POST", body: "{}", headers })).status,
        );
      }
      return found;
    };
    const others = (i: number) => `203.0.113.${i}`;
    expect(await statuses((await start("--limit", "login=2/0.001")).url, others)).toEqual([
      400, 400, 429, 429,
    ]);
    await box.run(["homeserver", "stop", "--data", data]);
    const { url: proxied } = await start("--limit", "login=2/0.001", "--behind-proxy");
    expect(await statuses(proxied, others)).toEqual([400, 400, 400, 400]);
    await box.run(["homeserver", "stop", "--data", data]);
    expect(await statuses((await start("--limit", "off")).url)).toEqual([400, 400, 400, 400]);
  });

  test("says in its log what is asked of it, where -v wants to know, and no secret", async () => {
    const { url } = await start("-v");
    const log = () => readFile(join(data, "homeserver.log"), "utf8");
    await fetch(`${url}/_matrix/client/v3/sync`, { headers: { authorization: "Bearer my-secret-token" } });
    expect(await log()).toMatch(/request.*\/_matrix\/client\/v3\/sync/);
    expect(await log()).not.toContain("my-secret-token");
    await box.run(["homeserver", "stop", "--data", data]);
    const before = await log();
    await fetch(`${(await start()).url}/_matrix/client/v3/sync`);
    expect((await log()).slice(before.length)).not.toContain("sync");
  });

  test("that forgets everything ends with Ctrl-C", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const running = box.spawn(["homeserver", "start", "--ephemeral", "--bind", url.slice("http://".length)]);
    await eventually(async () => (await fetch(`${url}/health`).catch(() => undefined))?.ok === true);
    running.signal("SIGINT");
    expect((await running.ended).code).toBe(0);
  });
});

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freePort } from "../homeservers.ts";
import { root } from "../tasks.ts";

test("the development homeserver starts once, keeps its users until it is reset, and stops", async () => {
  const dir = mkdtempSync(join(tmpdir(), "mx-dev-"));
  const env = {
    ...process.env,
    MX_DEV_HOMESERVER: "embedded",
    MX_DEV_DIR: dir,
    MX_DEV_PORT: `${await freePort()}`,
  };
  const dev = (...words: string[]) => {
    const { status, stdout, stderr } = spawnSync(join(root, "scripts", "matrix_dev.sh"), words, {
      env,
      encoding: "utf8",
    });
    return { status, said: stdout + stderr };
  };
  onTestFinished(() => {
    dev("down");
    rmSync(dir, { recursive: true, force: true });
  });
  const logIn = async (password: string) => {
    const identifier = { type: "m.id.user", user: "alice" };
    const answer = await fetch(`http://127.0.0.1:${env.MX_DEV_PORT}/_matrix/client/v3/login`, {
      method: "POST",
      body: JSON.stringify({ type: "m.login.password", identifier, password }),
    });
    return answer.status;
  };
  expect(dev("status")).toMatchObject({ status: 3 });
  expect(dev("up")).toMatchObject({ status: 0, said: expect.stringContaining(env.MX_DEV_PORT) });
  const password = /password (\S+)/.exec(dev("register", "alice").said)?.[1] ?? "";
  expect(await logIn(password)).toBe(200);
  expect(dev("down")).toMatchObject({ status: 0 });
  expect(dev("up")).toMatchObject({ status: 0 });
  expect(await logIn(password)).toBe(200);
  expect(dev("reset")).toMatchObject({ status: 0 });
  expect(dev("up")).toMatchObject({ status: 0 });
  expect(await logIn(password)).toBe(403);
  expect(dev("frobnicate")).toMatchObject({
    status: 1,
    said: expect.stringContaining("usage: matrix_dev.sh"),
  });
}, 60_000);

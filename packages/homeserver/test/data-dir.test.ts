import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  addUser,
  createRegistrationToken,
  type Homeserver,
  listUsers,
  revokeRegistrationToken,
} from "../src/index.ts";
import { testServer } from "./support/server.ts";
import { nobody, passwordLogin } from "./support/users.ts";

let dataDir: string;
let durable: Homeserver;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "mx-homeserver-test-"));
  durable = await testServer({ dataDir, registration: "token" });
});
afterAll(async () => {
  await durable.close();
  await rm(dataDir, { recursive: true });
});

it("an account and a token made by another process are known at once", async () => {
  const index = new URL("../src/index.ts", import.meta.url).href;
  const script = `import { addUser } from ${JSON.stringify(index)};
    console.log(await addUser(${JSON.stringify(dataDir)}, "offline", "secret"));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" });
  expect((await once(child, "exit"))[0]).toBe(0);
  expect((await nobody(durable).post("/login", passwordLogin("offline"))).status).toBe(200);
  const token = await createRegistrationToken(dataDir);
  const path = `/_matrix/client/v1/register/m.login.registration_token/validity?token=${token}`;
  expect((await nobody(durable).get(path)).body).toEqual({ valid: true });
  await revokeRegistrationToken(dataDir, token);
  expect((await nobody(durable).get(path)).body).toEqual({ valid: false });
  expect((await listUsers(dataDir)).map((user) => user.userId)).toEqual(["@offline:localhost"]);
  await expect(addUser(dataDir, "offline", "x")).rejects.toThrow("is there already");
  await expect(addUser(join(dataDir, "no"), "x", "x")).rejects.toThrow("not the data directory");
});

it("neither passwords nor tokens are in the files", async () => {
  const token = await durable.createRegistrationToken();
  await durable.addUser("secretive", "correct horse battery staple");
  const login = await nobody(durable).post(
    "/login",
    passwordLogin("secretive", "correct horse battery staple", { refresh_token: true }),
  );
  const files = await Promise.all(
    ["homeserver.db", "homeserver.db-wal"].map((name) => readFile(join(dataDir, name))),
  );
  const all = Buffer.concat(files);
  expect(all.includes("@secretive:localhost")).toBe(true);
  for (const secret of [
    token,
    login.body.access_token,
    login.body.refresh_token,
    "correct horse battery staple",
  ]) {
    expect(all.includes(String(secret))).toBe(false);
  }
});

it("the server's name stays what it was", async () => {
  const other = await mkdtemp(join(tmpdir(), "mx-homeserver-test-"));
  try {
    await (await testServer({ dataDir: other, name: "first.example" })).close();
    await expect(testServer({ dataDir: other, name: "second.example" })).rejects.toThrow(
      "named first.example",
    );
    expect(await addUser(other, "kept", "secret")).toBe("@kept:first.example");
    await expect(addUser(other, "@lost:localhost", "secret")).rejects.toThrow("can't be a user name here");
  } finally {
    await rm(other, { recursive: true });
  }
});

it("a second server on it is refused", async () => {
  await expect(testServer({ dataDir })).rejects.toThrow("another homeserver is using");
});

/** `update check`, through the real npm and a registry on loopback. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isNewer } from "../../src/update/registry.ts";
import { type Home, home } from "../support/daemon-of.ts";

let here: Home;
let server: Server | undefined;
beforeEach(async () => {
  here = await home();
});
afterEach(async () => {
  await new Promise((resolve) => (server === undefined ? resolve(null) : server.close(resolve)));
  server?.closeAllConnections();
  server = undefined;
  await here.close();
});

/** A registry that has this version as the latest; none: it has no such package. */
async function registryWith(latest: string | null): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  server = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.writeHead(latest === null ? 404 : 200, {
      "content-type": "application/json",
      connection: "close",
    });
    const versions =
      latest === null ? {} : { [latest]: { name: "mx-agent", version: latest, dist: { tarball: "x" } } };
    response.end(
      JSON.stringify(
        latest === null
          ? { error: "Not found" }
          : {
              name: "mx-agent",
              "dist-tags": { latest },
              versions,
              time: { [latest]: "2026-01-01T00:00:00.000Z" },
            },
      ),
    );
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  here.env.NPM_CONFIG_REGISTRY = url;
  return { url, asked };
}

describe("update check", () => {
  test("says that there is a newer version, and how to get it", async () => {
    const { url, asked } = await registryWith("0.2.0");
    const { code, stdout, stderr } = await here.mx(["update", "check", "--json"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toEqual({ current: "0.0.1", latest: "0.2.0", newer: true, registry: url });
    expect(asked).toEqual(["/mx-agent"]);
    expect((await here.mx(["update", "check"])).stdout).toContain("npm install -g mx-agent@0.2.0");
  });

  test("says that this is the newest", async () => {
    const { url } = await registryWith("0.0.1");
    expect((await here.mx(["update", "check"])).stdout).toBe(`mx-agent 0.0.1 is the newest in ${url}\n`);
  });

  test("where it is not published says so, with the registry", async () => {
    const { url } = await registryWith(null);
    const { code, stderr } = await here.mx(["update", "check"]);
    expect(code).toBe(3);
    expect(stderr).toContain(`mx-agent (${url})`);
  });

  test("where the registry does not answer says so", async () => {
    const { url } = await registryWith("1.0.0");
    await new Promise((resolve) => server?.close(resolve));
    const { code, stderr } = await here.mx(["update", "check"]);
    expect(code).toBe(69);
    expect(stderr).toMatch(/MX_REGISTRY_UNREACHABLE/);
    expect(stderr).toContain(url);
  });

  test("without npm says that it cannot", async () => {
    here.env.PATH = here.dir;
    const { code, stderr } = await here.mx(["update", "check"]);
    expect(code).toBe(69);
    expect(stderr).toContain("there is no npm on PATH");
  });
});

test("versions are compared as numbers, and a release is newer than what came before it", () => {
  expect(isNewer("0.10.0", "0.9.9")).toBe(true);
  expect(isNewer("1.0.0", "1.0.0")).toBe(false);
  expect(isNewer("1.0.0", "1.0.0-rc.1")).toBe(true);
  expect(isNewer("1.0.0-rc.10", "1.0.0-rc.9")).toBe(true);
  expect(isNewer("1.0.0-rc.1", "1.0.0")).toBe(false);
});

import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { type Site, siteOn } from "./helpers.ts";

/**
 * A homeserver for the tests of one file, accounts and rooms on it, and for each test a way to it that fails on demand.
 * What a test opened is closed after it.
 */
export function ownSite(): { server: TestHomeserver; site: Site; proxy: FaultProxy } {
  let server: TestHomeserver;
  let site: Site;
  let proxy: FaultProxy;
  beforeAll(async () => {
    server = await startHomeserverForTests();
    site = siteOn(server);
  });
  beforeEach(async () => {
    proxy = await startFaultProxy(server.url);
  });
  afterEach(async () => {
    await site.closeMachines();
    await proxy.close();
  });
  afterAll(() => server?.close());
  return { server: current(() => server), site: current(() => site), proxy: current(() => proxy) };
}

/** Stands for what is there only once the tests run. */
function current<T extends object>(get: () => T): T {
  return new Proxy({} as T, { get: (_, key) => Reflect.get(get(), key) });
}

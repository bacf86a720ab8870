import { type Homeserver, type HomeserverOptions, startHomeserver } from "../../src/index.ts";

/** An ephemeral homeserver on a free port, open for registration and without rate limits. */
export function testServer(options: Partial<HomeserverOptions> = {}): Promise<Homeserver> {
  return startHomeserver({
    bind: { host: "127.0.0.1", port: 0 },
    dataDir: null,
    name: "localhost",
    registration: "open",
    rateLimits: null,
    ...options,
  });
}

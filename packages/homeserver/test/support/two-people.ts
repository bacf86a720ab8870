import { afterAll, beforeAll, beforeEach } from "vitest";
import type { Homeserver } from "../../src/index.ts";
import { testServer } from "./server.ts";
import { newUser, type User } from "./users.ts";

/** Two people who are new on the server that the tests of a file share. */
export interface TwoPeople {
  readonly server: Homeserver;
  readonly alice: User;
  readonly bob: User;
  /** Counts the tests; part of both names. */
  readonly round: number;
}

/** Starts a server for the tests of a file, and before each of them brings two people. */
export function twoPeople(meet: (they: TwoPeople) => void): void {
  let server: Homeserver;
  let round = 0;
  beforeAll(async () => {
    server = await testServer();
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    round += 1;
    const [alice, bob] = await Promise.all([
      newUser(server, `alice${round}`),
      newUser(server, `bob${round}`),
    ]);
    meet({ server, alice, bob, round });
  });
}

import { expect, onTestFinished, test } from "vitest";
import { type HomeserverKind, startHomeserverForTests, VenvUnavailable } from "../homeservers.ts";

const kinds: HomeserverKind[] = ["embedded", "synapse"];

test.for(kinds)(
  "%s, killed and started again, is the same homeserver at the same address",
  async (kind, { skip }) => {
    const homeserver = await started(kind).catch((error: unknown) => {
      if (error instanceof VenvUnavailable) return skip(error.message);
      throw error;
    });
    await homeserver.registerUser("alice", "correct horse");
    await expect(homeserver.registerUser("alice", "another")).rejects.toThrow(
      /alice|taken|in use|USER_IN_USE/i,
    );
    const token = await login(homeserver.url, "alice", "correct horse");

    const before = homeserver.pid;
    await homeserver.kill("SIGKILL");
    await expect(fetch(`${homeserver.url}/_matrix/client/versions`)).rejects.toThrow();
    await homeserver.restart();

    expect(homeserver.pid).not.toBe(before);
    const whoami = await fetch(`${homeserver.url}/_matrix/client/v3/account/whoami`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(await whoami.json()).toMatchObject({ user_id: `@alice:${homeserver.name}` });
  },
);

async function started(kind: HomeserverKind) {
  const homeserver = await startHomeserverForTests({ kind });
  onTestFinished(() => homeserver.close());
  return homeserver;
}

async function login(url: string, user: string, password: string): Promise<string> {
  const response = await fetch(`${url}/_matrix/client/v3/login`, {
    method: "POST",
    body: JSON.stringify({ type: "m.login.password", identifier: { type: "m.id.user", user }, password }),
  });
  const answer = (await response.json()) as { access_token: string };
  return answer.access_token;
}

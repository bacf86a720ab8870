import { setTimeout as pause } from "node:timers/promises";
import type { Handlers, MethodName } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import { nothing, parser } from "./params.ts";

const secret = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("password"), password: z.string().min(1) }),
  z.strictObject({ type: z.literal("token"), token: z.string().min(1) }),
  z.strictObject({ type: z.literal("login_token"), token: z.string().min(1) }),
  z.strictObject({ type: z.literal("oauth"), state: z.string().min(1), code: z.string().min(1) }),
  z.strictObject({
    type: z.literal("register"),
    password: z.string().min(1),
    registration_token: z.string().nullable(),
  }),
]);

const loginParams = z.strictObject({
  homeserver: z.string().min(1),
  user: z.string().min(1).nullable(),
  secret,
  device_name: z.string().nullable(),
});

/** So long at the most, milliseconds, a login waits for its keys to be published. */
const KEYS_MS = 5000;

type Names = Extract<MethodName, `auth.${string}`>;

export function authMethods(daemon: Daemon): Pick<Handlers, Names> {
  return {
    "auth.login": {
      parse: parser(loginParams),
      handle: async (params) => {
        const account = await daemon.login(params);
        await keysPublished(daemon);
        return account;
      },
    },
    "auth.flows": {
      parse: parser(z.strictObject({ homeserver: z.string().min(1) })),
      handle: ({ homeserver }) => daemon.account.flows(homeserver),
    },
    "auth.oauth": {
      parse: parser(z.strictObject({ homeserver: z.string().min(1), redirect_uri: z.url() })),
      handle: (params) => daemon.account.beginOAuth(params),
    },
    "auth.status": {
      parse: parser(nothing),
      handle: async () => {
        const { account, sync } = daemon.status();
        if (sync.state === "logged_out") throw daemon.account.notLoggedIn();
        return { account, sync };
      },
    },
    "auth.logout": { parse: parser(nothing), handle: () => daemon.logout() },
  };
}

/** Before that nobody can encrypt for this device. A homeserver that is slow now is waited for in the background. */
async function keysPublished(daemon: Daemon): Promise<void> {
  const given = new AbortController();
  const ready = daemon.online?.session.ready().catch(() => {});
  await Promise.race([ready, pause(KEYS_MS, undefined, { signal: given.signal }).catch(() => {})]);
  given.abort();
}

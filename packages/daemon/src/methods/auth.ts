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

type Names = Extract<MethodName, `auth.${string}`>;

export function authMethods(daemon: Daemon): Pick<Handlers, Names> {
  return {
    "auth.login": { parse: parser(loginParams), handle: (params) => daemon.login(params) },
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

import type { Handlers } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import { nothing, parser } from "./params.ts";

const secret = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("password"), password: z.string().min(1) }),
  z.strictObject({ type: z.literal("token"), token: z.string().min(1) }),
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

export function authMethods(daemon: Daemon): Pick<Handlers, "auth.login" | "auth.status" | "auth.logout"> {
  return {
    "auth.login": { parse: parser(loginParams), handle: (params) => daemon.account.login(params) },
    "auth.status": {
      parse: parser(nothing),
      handle: async () => {
        const { account, sync } = daemon.status();
        if (sync.state === "logged_out") throw daemon.account.notLoggedIn();
        return { account, sync };
      },
    },
    "auth.logout": { parse: parser(nothing), handle: () => daemon.account.logout() },
  };
}

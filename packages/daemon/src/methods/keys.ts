import type { Handlers, MethodName } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import { nothing, parser } from "./params.ts";

type Names = Extract<MethodName, `cross_signing.${string}` | `recovery.${string}`>;

const authParams = z.strictObject({ password: z.string().min(1).nullable() });

/** The account's own identity, and what a new machine gets it back from. */
export function keysMethods(daemon: Daemon): Pick<Handlers, Names> {
  const keys = () => daemon.requireOnline().session.keys;
  return {
    "cross_signing.status": { parse: parser(nothing), handle: () => keys().crossSigning.status() },
    "cross_signing.bootstrap": {
      parse: parser(authParams),
      handle: async ({ password }) => {
        const done = await keys().crossSigning.bootstrap(password);
        daemon.audit.keys("cross_signing_made");
        return done;
      },
    },
    "cross_signing.reset": {
      parse: parser(authParams),
      handle: async ({ password }) => {
        const done = await keys().crossSigning.reset(password);
        daemon.audit.keys("cross_signing_reset");
        return done;
      },
    },
    "recovery.status": { parse: parser(nothing), handle: () => keys().recovery.status() },
    "recovery.enable": {
      parse: parser(z.strictObject({ replace: z.boolean() })),
      handle: async ({ replace }) => {
        const done = await keys().recovery.enable(replace);
        daemon.audit.keys("recovery_enabled");
        return done;
      },
    },
    "recovery.recover": {
      parse: parser(z.strictObject({ recovery_key: z.string().min(1).max(1024) })),
      handle: async ({ recovery_key }) => {
        const done = await keys().recovery.recover(recovery_key);
        daemon.audit.keys("recovered");
        return done;
      },
    },
    "recovery.disable": {
      parse: parser(nothing),
      handle: async () => {
        const was_enabled = await keys().recovery.disable();
        if (was_enabled) daemon.audit.keys("recovery_disabled");
        return { was_enabled };
      },
    },
  };
}

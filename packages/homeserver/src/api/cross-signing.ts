import type { App } from "../app.ts";
import {
  parseCrossSigning,
  storeCrossSigning,
  uploadEffect,
  uploadSignatures,
} from "../e2ee/cross-signing.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { passwordCheck } from "./password-stage.ts";

/** "Cross-signing". */
export function crossSigningRoutes(app: App): Route[] {
  const limit = { limit: "keys" } as const;
  return [
    route("POST", "/_matrix/client/v3/keys/device_signing/upload", (request) => upload(app, request), limit),
    route(
      "POST",
      "/_matrix/client/v3/keys/signatures/upload",
      (request) => uploadSignatures(app, request.userId, request.body),
      limit,
    ),
  ];
}

/** The first keys need no more than the access token; replacing them needs the password. */
async function upload(app: App, request: ApiRequest): Promise<unknown> {
  const { userId, body } = request;
  const keys = parseCrossSigning(userId, body);
  const effect = uploadEffect(app, userId, keys);
  if (effect === "nothing") return {};
  if (effect === "replaces") {
    await app.uia.require(`device_signing ${userId}`, body, [["m.login.password"]], {
      "m.login.password": passwordCheck(app, userId),
    });
  }
  storeCrossSigning(app, userId, keys);
  return {};
}

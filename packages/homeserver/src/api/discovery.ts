import { notFound } from "../http/errors.ts";
import { type Route, route } from "../http/router.ts";
import { ROOM_VERSION } from "../rooms/auth.ts";

/** What clients ask before anything else. */
export function discoveryRoutes(): Route[] {
  return [
    route("GET", "/health", () => ({ status: "ok" }), { auth: "none" }),
    route(
      "GET",
      "/_matrix/client/versions",
      () => ({
        versions: [
          "v1.1",
          "v1.2",
          "v1.3",
          "v1.4",
          "v1.5",
          "v1.6",
          "v1.7",
          "v1.8",
          "v1.9",
          "v1.10",
          "v1.11",
          "v1.12",
        ],
        unstable_features: {},
      }),
      { auth: "none" },
    ),
    route(
      "GET",
      "/.well-known/matrix/client",
      (request) => {
        const { host, "x-forwarded-proto": forwarded } = request.raw.headers;
        if (host === undefined || !/^[A-Za-z0-9.:[\]-]+$/.test(host))
          throw notFound("the request names no host");
        // A proxy that ends TLS in front of this server says so.
        return { "m.homeserver": { base_url: `${forwarded === "https" ? "https" : "http"}://${host}` } };
      },
      { auth: "none" },
    ),
    route("GET", "/_matrix/client/v3/capabilities", () => ({
      capabilities: {
        "m.change_password": { enabled: true },
        "m.room_versions": { default: ROOM_VERSION, available: { [ROOM_VERSION]: "stable" } },
        "m.set_displayname": { enabled: true },
        "m.set_avatar_url": { enabled: true },
        "m.3pid_changes": { enabled: false },
        "m.get_login_token": { enabled: true },
      },
    })),
    route("GET", "/_matrix/client/v3/voip/turnServer", () => ({})),
    route("GET", "/_matrix/client/v3/thirdparty/protocols", () => ({})),
    route("GET", "/_matrix/client/v3/pushers", () => ({ pushers: [] })),
    route("GET", "/_matrix/client/v3/account/3pid", () => ({ threepids: [] })),
  ];
}

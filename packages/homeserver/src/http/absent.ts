import { type MatrixError, notFound, unrecognized } from "./errors.ts";

/** What the specification or clients know and this homeserver leaves to others, by the paths that it has. */
const absent: readonly (readonly [RegExp, string])[] = [
  [/^\/_matrix\/(federation|key)\//, "this homeserver does not federate"],
  [/\/rooms\/[^/]+\/upgrade$/, "room upgrades are not supported on this homeserver; make a new room"],
  [
    /\/rooms\/[^/]+\/threads$/,
    "lists of threads are not supported on this homeserver; threads themselves are",
  ],
  [/\/dehydrated_device(\/|$)/, "dehydrated devices are not supported on this homeserver"],
  [/\/rooms\/[^/]+\/hierarchy$/, "space hierarchies are not supported on this homeserver"],
  [/\/client\/v3\/search$/, "searching in messages is not supported on this homeserver"],
  [/\/rooms\/[^/]+\/timestamp_to_event$/, "finding events by time is not supported on this homeserver"],
  [
    /\/rooms\/[^/]+\/report(\/|$)|\/users\/[^/]+\/report$/,
    "reports are not supported here: tell the operator",
  ],
  [/\/simplified_msc3575\/sync$/, "sliding sync is not supported on this homeserver; /sync is"],
  [
    /\/account\/3pid(\/|$)|\/requestToken$/,
    "mail addresses and phone numbers are not supported on this homeserver",
  ],
  [/\/pushers\/set$/, "push gateways are not supported on this homeserver"],
  [/\/openid\/request_token$/, "OpenID tokens are not supported on this homeserver"],
  [/\/thirdparty\//, "bridges to other networks are not supported on this homeserver"],
  [/\/login\/sso\/|\/auth_metadata$/, "single sign-on is not supported on this homeserver"],
  [/\/media\/(v[13]\/)?preview_url$/, "previews of URLs are not supported on this homeserver"],
];

/** Media without an access token, as it was before version 1.11 of the specification. */
const openMedia = /^\/_matrix\/media\/v3\/(download|thumbnail)\//;

/** Why there is no such path: M_UNRECOGNIZED, with the name of the feature where it has one. */
export function absence(path: string): MatrixError {
  if (openMedia.test(path)) return notFound("media are had with an access token: /_matrix/client/v1/media");
  const reason = absent.find(([pattern]) => pattern.test(path))?.[1];
  return unrecognized(404, reason ?? "this homeserver does not know that path");
}

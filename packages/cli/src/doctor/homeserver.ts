import { bytes } from "../render/time.ts";
import { type Finding, failure, ok, warning } from "./finding.ts";
import type { World } from "./world.ts";

/** Further apart, and every request is refused as expired or from the future (PROTOCOL, "Reasons"). */
const REFUSED_MS = 120_000;
const NOTICED_MS = 5_000;
/** What an artifact of a run may take; a server that takes less keeps output from being sent whole. */
const SMALL_UPLOAD = 1024 * 1024;

export function checkHomeserver({ diagnosis, daemon }: World): Finding {
  const { homeserver } = diagnosis;
  if (homeserver === null)
    return daemon.up
      ? ok("homeserver", "none before a login")
      : warning("homeserver", "which one is not known", "log in, or set `homeserver` in config.toml");
  if (!homeserver.reachable)
    return failure(
      "homeserver",
      `${homeserver.url} cannot be reached: ${homeserver.detail}`,
      "check the URL, the network and the certificate (NODE_EXTRA_CA_CERTS for one of your own)",
    );
  const { url, max_upload_bytes, round_trip_ms } = homeserver;
  const limit = max_upload_bytes === null ? "" : `, uploads up to ${bytes(max_upload_bytes)}`;
  const what = `${url}: ${softwareOf(homeserver)}, ${round_trip_ms ?? "?"} ms away${limit}`;
  if (max_upload_bytes !== null && max_upload_bytes < SMALL_UPLOAD)
    return warning("homeserver", what, "large output cannot be uploaded there; ask its operator");
  return ok("homeserver", what);
}

function softwareOf({ software, newest_version }: NonNullable<World["diagnosis"]["homeserver"]>): string {
  const name = software?.startsWith("mx-agent/") ? "the embedded homeserver" : software;
  return `${name ?? "a homeserver that does not say which"}, Matrix ${newest_version ?? "of an unknown version"}`;
}

export function checkClock({ diagnosis }: World): Finding | undefined {
  const ahead = diagnosis.homeserver?.clock_ahead_ms ?? null;
  if (ahead === null) return undefined;
  const off = `the homeserver's clock is ${Math.abs(ahead / 1000).toFixed(0)} s ${ahead > 0 ? "ahead of" : "behind"} ours`;
  const hint = "set this machine's clock (`timedatectl set-ntp true`)";
  if (Math.abs(ahead) > REFUSED_MS) return failure("clock", `${off}: requests are refused`, hint);
  if (Math.abs(ahead) > NOTICED_MS) return warning("clock", off, hint);
  return ok("clock", "as the homeserver's, to some seconds");
}

import { mxError } from "@mx-agent/base";
import { shortText } from "./bounded-body.ts";
import { describe, type Fetch, isRecord } from "./types.ts";

const TIMEOUT_MS = 20_000;

/** An answer of the Client-Server API: status and parsed body; `undefined` where the body is not JSON. */
export interface Answer {
  status: number;
  body: unknown;
  retryAfter: string | null;
}

/** One request without the SDK. MX_HOMESERVER_UNREACHABLE when nothing answers. */
export async function request(
  fetch: Fetch,
  url: string,
  options: { method?: string; body?: object; token?: string } = {},
): Promise<Answer> {
  const { method = "GET", body, token } = options;
  try {
    const response = await fetch(url, {
      method,
      headers: {
        accept: "application/json",
        ...(body && { "content-type": "application/json" }),
        ...(token && { authorization: `Bearer ${token}` }),
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await shortText(response);
    return { status: response.status, body: parse(text), retryAfter: response.headers.get("retry-after") };
  } catch (error) {
    throw mxError(
      "MX_HOMESERVER_UNREACHABLE",
      { url: new URL(url).origin, detail: describe(error) },
      { cause: error },
    );
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The base URL of the homeserver that a URL or a bare server name means: what its .well-known says, else
 * itself, once /versions answers there (Client-Server API, "Server Discovery"). MX_NOT_A_HOMESERVER when
 * something else answers, MX_HOMESERVER_UNREACHABLE when nothing does.
 */
export async function discoverHomeserver(fetch: Fetch, given: string): Promise<string> {
  const asked = normalise(given);
  const delegated = await wellKnown(fetch, asked);
  if (delegated !== undefined && delegated !== asked) {
    await checkVersions(fetch, delegated);
    return delegated;
  }
  await checkVersions(fetch, asked);
  return asked;
}

function normalise(given: string): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `https://${given}`;
  const notOne = (detail: string) => mxError("MX_NOT_A_HOMESERVER", { url: given, detail });
  if (!URL.canParse(text)) throw notOne("it is not a URL");
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw notOne("it is neither https nor http");
  if (url.username !== "" || url.password !== "")
    throw mxError("MX_NOT_A_HOMESERVER", {
      url: url.origin,
      detail: "the URL that was given contains a password",
    });
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

/** What /.well-known/matrix/client delegates to. Anything but a clear answer means: no delegation. */
async function wellKnown(fetch: Fetch, base: string): Promise<string | undefined> {
  let answer: Answer;
  try {
    answer = await request(fetch, `${new URL(base).origin}/.well-known/matrix/client`);
  } catch {
    // Whether anybody is there is for /versions to find out.
    return undefined;
  }
  if (answer.status !== 200 || !isRecord(answer.body)) return undefined;
  const homeserver = answer.body["m.homeserver"];
  if (!isRecord(homeserver) || typeof homeserver.base_url !== "string") return undefined;
  return normalise(homeserver.base_url);
}

async function checkVersions(fetch: Fetch, base: string): Promise<void> {
  const { status, body } = await request(fetch, `${base}/_matrix/client/versions`);
  if (status >= 500) {
    throw mxError("MX_HOMESERVER_UNREACHABLE", { url: base, detail: `it answers with HTTP ${status}` });
  }
  if (status !== 200 || !isRecord(body) || !Array.isArray(body.versions)) {
    const detail =
      body === undefined
        ? `/_matrix/client/versions is not JSON (HTTP ${status})`
        : `/_matrix/client/versions answers HTTP ${status} without versions`;
    throw mxError("MX_NOT_A_HOMESERVER", { url: base, detail });
  }
}

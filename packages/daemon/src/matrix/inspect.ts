import type { HomeserverFacts } from "@mx-agent/ipc";
import { shortText } from "./bounded-body.ts";
import { describe, type Fetch, isRecord } from "./types.ts";

const TIMEOUT_MS = 10_000;

/** Whom to ask as; null: only what anybody may know. */
export interface Asker {
  homeserver: string;
  access_token: string | null;
}

/** What a homeserver says about itself, and what the way to it is like. Never fails: what is not known is null. */
export async function inspectHomeserver(fetch: Fetch, asker: Asker): Promise<HomeserverFacts> {
  const url = asker.homeserver;
  const get = (path: string, token?: string) => ask(fetch, `${url}${path}`, token);
  const token = asker.access_token ?? undefined;
  const versions = await get("/_matrix/client/versions");
  const facts: HomeserverFacts = {
    url,
    reachable: versions.status === 200 && isRecord(versions.body) && Array.isArray(versions.body.versions),
    detail: versions.detail,
    software: null,
    newest_version: null,
    login_flows: [],
    max_upload_bytes: null,
    clock_ahead_ms: versions.clock_ahead_ms,
    round_trip_ms: versions.round_trip_ms,
    login_accepted: null,
  };
  if (!facts.reachable) {
    facts.detail ??= `HTTP ${versions.status}, and not as a Matrix homeserver`;
    return facts;
  }
  const [federation, flows, media, whoami] = await Promise.all([
    get("/_matrix/federation/v1/version"),
    get("/_matrix/client/v3/login"),
    token === undefined ? undefined : get("/_matrix/client/v1/media/config", token),
    token === undefined ? undefined : get("/_matrix/client/v3/account/whoami", token),
  ]);
  facts.newest_version = lastText(isRecord(versions.body) ? versions.body.versions : null);
  facts.software = softwareOf(federation.body) ?? versions.server;
  facts.login_flows = flowsOf(flows.body);
  facts.max_upload_bytes = uploadOf(media?.body);
  if (whoami !== undefined && whoami.status !== null)
    facts.login_accepted = whoami.status === 200 ? true : whoami.status === 401 ? false : null;
  return facts;
}

interface Said {
  /** null where nothing answered. */
  status: number | null;
  body: unknown;
  detail: string | null;
  server: string | null;
  clock_ahead_ms: number | null;
  round_trip_ms: number | null;
}

async function ask(fetch: Fetch, url: string, token?: string): Promise<Said> {
  const nothing = { status: null, body: undefined, server: null, clock_ahead_ms: null, round_trip_ms: null };
  const started = performance.now();
  const sent = Date.now();
  try {
    const response = await fetch(url, {
      headers: { accept: "application/json", ...(token && { authorization: `Bearer ${token}` }) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const round_trip_ms = performance.now() - started;
    const date = Date.parse(response.headers.get("date") ?? "");
    return {
      status: response.status,
      body: parse(await shortText(response)),
      detail: null,
      server: response.headers.get("server"),
      // The header has whole seconds: the middle of its second, against the middle of the exchange.
      clock_ahead_ms: Number.isNaN(date) ? null : Math.round(date + 500 - (sent + round_trip_ms / 2)),
      round_trip_ms: Math.round(round_trip_ms),
    };
  } catch (error) {
    return { ...nothing, detail: describe(error) };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function softwareOf(body: unknown): string | null {
  const server = isRecord(body) ? body.server : undefined;
  if (!isRecord(server) || typeof server.name !== "string") return null;
  return typeof server.version === "string" ? `${server.name} ${server.version}` : server.name;
}

function flowsOf(body: unknown): string[] {
  const flows = isRecord(body) && Array.isArray(body.flows) ? body.flows : [];
  return flows.flatMap((flow) => (isRecord(flow) && typeof flow.type === "string" ? [flow.type] : []));
}

function uploadOf(body: unknown): number | null {
  const size = isRecord(body) ? body["m.upload.size"] : undefined;
  return typeof size === "number" ? size : null;
}

function lastText(list: unknown): string | null {
  const last: unknown = Array.isArray(list) ? list.at(-1) : undefined;
  return typeof last === "string" ? last : null;
}

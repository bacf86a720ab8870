import { discoverHomeserver, request } from "./discovery.ts";
import { type Fetch, isRecord } from "./types.ts";

export interface LoginFlows {
  /** The base URL that was discovered. */
  homeserver: string;
  /** `m.login.password`, `m.login.sso`, `m.login.token` and whatever else it offers. */
  types: string[];
  /** Of single sign-on; empty where the server asks by itself. */
  identity_providers: { id: string; name: string }[];
  /** Whether it announces its own OAuth 2.0 (Client-Server API, "OAuth 2.0 API"). */
  oauth: boolean;
}

/** How a homeserver lets people log in (Client-Server API, GET /login and GET /auth_metadata). */
export async function loginFlows(fetch: Fetch, given: string): Promise<LoginFlows> {
  const homeserver = await discoverHomeserver(fetch, given);
  const [login, metadata] = await Promise.all([
    request(fetch, `${homeserver}/_matrix/client/v3/login`),
    request(fetch, `${homeserver}/_matrix/client/v1/auth_metadata`),
  ]);
  const flows = isRecord(login.body) && Array.isArray(login.body.flows) ? login.body.flows : [];
  const known = flows.filter(isRecord);
  const sso = known.find(({ type }) => type === "m.login.sso");
  const providers = Array.isArray(sso?.identity_providers) ? sso.identity_providers : [];
  return {
    homeserver,
    types: known.flatMap(({ type }) => (typeof type === "string" ? [type] : [])),
    identity_providers: providers
      .filter(isRecord)
      .flatMap(({ id, name }) =>
        typeof id === "string" ? [{ id, name: typeof name === "string" ? name : id }] : [],
      ),
    oauth: metadata.status === 200 && isRecord(metadata.body) && typeof metadata.body.issuer === "string",
  };
}

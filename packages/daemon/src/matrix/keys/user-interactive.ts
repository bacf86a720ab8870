import { mxError } from "@mx-agent/base";
import type { AuthDict, UIAuthCallback } from "matrix-js-sdk/lib/interactive-auth.js";
import { isRecord } from "../types.ts";

export interface PasswordAuth {
  user_id: string;
  homeserver: string;
  /** null where nobody gave one: it may do without. */
  password: string | null;
}

const PASSWORD = "m.login.password";

/**
 * User-interactive authentication by password (Client-Server API). MX_PASSWORD_NEEDED where the server asks for
 * one that we do not have, did not take it, or wants what only a browser can do.
 */
export function withPassword({ user_id, homeserver, password }: PasswordAuth): UIAuthCallback<void> {
  const needed = (detail: string, hint?: string) =>
    mxError("MX_PASSWORD_NEEDED", { url: homeserver, user: user_id, detail }, hint ? { hint } : {});
  return async (makeRequest: (auth: AuthDict | null) => Promise<void>) => {
    try {
      return await makeRequest(null);
    } catch (error) {
      const { session, stages, url } = challengeOf(error);
      if (session === undefined) throw error;
      if (url !== undefined)
        throw needed("it wants the account's owner", `approve it at ${url} and run the command again`);
      if (!stages.some((flow) => flow.length === 1 && flow[0] === PASSWORD))
        throw needed(`it offers ${stages.map((flow) => flow.join(" and ")).join(", or ")}, and no password`);
      if (password === null) throw needed("it asks for the account's password");
      const identifier = { type: "m.id.user", user: user_id };
      try {
        return await makeRequest({ type: PASSWORD, identifier, password, session });
      } catch (refusal) {
        if (challengeOf(refusal).session === undefined) throw refusal;
        throw needed("it does not take this password");
      }
    }
  };
}

/** What an answer of HTTP 401 asks for; no session when it is none. */
function challengeOf(error: unknown): { session?: string; stages: string[][]; url?: string } {
  const data = isRecord(error) && error.httpStatus === 401 && isRecord(error.data) ? error.data : {};
  const flows = Array.isArray(data.flows) ? data.flows : [];
  const params = isRecord(data.params) ? Object.values(data.params) : [];
  const url = params.find((value) => isRecord(value) && typeof value.url === "string");
  return {
    ...(typeof data.session === "string" && { session: data.session }),
    stages: flows.flatMap((flow) =>
      isRecord(flow) && Array.isArray(flow.stages) ? [flow.stages.map(String)] : [],
    ),
    ...(isRecord(url) && { url: String(url.url) }),
  };
}

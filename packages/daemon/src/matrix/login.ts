import { MxError, mxError } from "@mx-agent/base";
import { type Answer, discoverHomeserver, request } from "./discovery.ts";
import { retryAfterMs } from "./gate.ts";
import { type Credentials, type Fetch, isRecord } from "./types.ts";

const TOKEN_STAGE = "m.login.registration_token";

export type LoginMethod =
  | { kind: "password"; user: string; password: string }
  /** An access token that somebody else got; its device is used as it is. */
  | { kind: "access_token"; access_token: string }
  /** A token for m.login.token, as single sign-on gives. */
  | { kind: "login_token"; token: string }
  | { kind: "register"; user: string; password: string; registration_token: string | null };

export interface LoginOptions {
  fetch: Fetch;
  /** URL or server name; discovered. */
  homeserver: string;
  method: LoginMethod;
  /** The device to go on with, after a soft logout; undefined makes a new one. */
  device_id?: string;
  /** What people see in the list of devices. */
  device_name: string;
}

/**
 * Logs in and resolves to what a session needs. MX_LOGIN_REFUSED when the homeserver says no, and
 * MX_NOT_A_HOMESERVER or MX_HOMESERVER_UNREACHABLE from discovery (Client-Server API, "Login", "Account
 * registration").
 */
export async function login(options: LoginOptions): Promise<Credentials> {
  const { fetch, method } = options;
  const homeserver = await discoverHomeserver(fetch, options.homeserver);
  if (method.kind === "access_token") return whoAmI(fetch, homeserver, method.access_token);
  if (method.kind === "register") return register(options, homeserver, method);
  const device = { device_id: options.device_id, initial_device_display_name: options.device_name };
  const body =
    method.kind === "password"
      ? {
          type: "m.login.password",
          identifier: { type: "m.id.user", user: method.user },
          password: method.password,
          ...device,
        }
      : { type: "m.login.token", token: method.token, ...device };
  const answer = await request(fetch, `${homeserver}/_matrix/client/v3/login`, { method: "POST", body });
  return credentialsFrom(answer, homeserver, method.kind === "password" ? method.user : "this token");
}

/** Ends the session on the homeserver too: token and device are gone. A token that is unknown already is fine. */
export async function logout(fetch: Fetch, credentials: Credentials): Promise<void> {
  const { homeserver, access_token } = credentials;
  const answer = await request(fetch, `${homeserver}/_matrix/client/v3/logout`, {
    method: "POST",
    body: {},
    token: access_token,
  });
  if (answer.status === 200 || errorOf(answer).errcode === "M_UNKNOWN_TOKEN") return;
  throw refused(answer, homeserver);
}

/** Whose an access token is. MX_LOGIN_REFUSED when it is nobody's, or belongs to no device. */
export async function whoAmI(fetch: Fetch, homeserver: string, access_token: string): Promise<Credentials> {
  const url = `${homeserver}/_matrix/client/v3/account/whoami`;
  const answer = await request(fetch, url, { token: access_token });
  if (isRecord(answer.body) && typeof answer.body.device_id !== "string" && answer.status === 200) {
    throw mxError("MX_LOGIN_REFUSED", {
      url: homeserver,
      user: "this token",
      detail: "it belongs to no device",
    });
  }
  return credentialsFrom(answer, homeserver, "this token", access_token);
}

/** User-interactive authentication: one stage after another of the first flow that we can go through. */
async function register(
  options: LoginOptions,
  homeserver: string,
  method: Extract<LoginMethod, { kind: "register" }>,
): Promise<Credentials> {
  const { user, password, registration_token } = method;
  const url = `${homeserver}/_matrix/client/v3/register`;
  const ask = (auth?: object) =>
    request(options.fetch, url, {
      method: "POST",
      body: {
        username: localPart(user),
        password,
        device_id: options.device_id,
        initial_device_display_name: options.device_name,
        ...(auth && { auth }),
      },
    });
  let answer = await ask();
  for (let stages = 0; answer.status === 401 && stages < 4; stages++) {
    const { session, next } = nextStage(answer.body, registration_token !== null);
    if (session === undefined || next === undefined) break;
    const token = next === TOKEN_STAGE && registration_token !== null;
    const before = answer;
    answer = await ask({ type: next, session, ...(token && { token: registration_token }) });
    // A stage that failed is asked for again, with the reason.
    if (isRecord(answer.body) && typeof answer.body.errcode === "string") break;
    if (JSON.stringify(completed(answer.body)) === JSON.stringify(completed(before.body))) break;
  }
  if (answer.status === 403 || answer.status === 401) throw noAccount(answer, homeserver, user);
  return credentialsFrom(answer, homeserver, user);
}

/** The server makes no account for us: what it says, and the way that is left. */
function noAccount(answer: Answer, url: string, user: string): MxError {
  const known = refused(answer, url, user);
  const wantsToken = isRecord(answer.body) && JSON.stringify(answer.body.flows ?? "").includes(TOKEN_STAGE);
  const hint = wantsToken
    ? "a registration token of its operator goes to --registration-token-stdin"
    : "ask its operator for an account, and log in with --user NAME --password-stdin; or with a browser: --sso";
  return known.code === "MX_LOGIN_REFUSED" ? new MxError({ ...known.toJSON(), hint }) : known;
}

function completed(body: unknown): unknown[] {
  return isRecord(body) && Array.isArray(body.completed) ? body.completed : [];
}

/** The next stage of a flow of which we can do every one; flows with a registration token first, if we have one. */
function nextStage(body: unknown, hasToken: boolean): { session?: string; next?: string } {
  if (!isRecord(body) || !Array.isArray(body.flows)) return {};
  const possible = new Set(["m.login.dummy", ...(hasToken ? [TOKEN_STAGE] : [])]);
  const flows = body.flows.flatMap((flow) =>
    isRecord(flow) && Array.isArray(flow.stages) && flow.stages.every((stage) => possible.has(stage))
      ? [flow.stages.map(String)]
      : [],
  );
  const flow = flows.find((stages) => stages.includes(TOKEN_STAGE)) ?? flows[0];
  const done = new Set(completed(body));
  const next = flow?.find((stage) => !done.has(stage));
  return {
    ...(typeof body.session === "string" && { session: body.session }),
    ...(next !== undefined && { next }),
  };
}

function credentialsFrom(answer: Answer, homeserver: string, user: string, token?: string): Credentials {
  const { status, body } = answer;
  if (status !== 200) throw refused(answer, homeserver, user);
  const { user_id, device_id, access_token = token } = isRecord(body) ? body : {};
  if (typeof user_id !== "string" || typeof device_id !== "string" || typeof access_token !== "string") {
    throw mxError("MX_NOT_A_HOMESERVER", {
      url: homeserver,
      detail: "the answer to the login makes no sense",
    });
  }
  return { user_id, device_id, access_token, homeserver };
}

function refused(answer: Answer, url: string, user = ""): MxError {
  const { errcode, error } = errorOf(answer);
  if (answer.status === 429) {
    const seconds = Math.ceil(
      retryAfterMs(answer.retryAfter, JSON.stringify(answer.body), Date.now()) / 1_000,
    );
    return mxError("MX_HOMESERVER_ERROR", {
      errcode: errcode ?? "M_LIMIT_EXCEEDED",
      detail: `try again in ${seconds} s`,
    });
  }
  if (answer.status >= 500) {
    return mxError("MX_HOMESERVER_UNREACHABLE", {
      url,
      detail: error ?? `it answers with HTTP ${answer.status}`,
    });
  }
  if (answer.body === undefined) {
    return mxError("MX_NOT_A_HOMESERVER", { url, detail: `it answers HTTP ${answer.status} without JSON` });
  }
  const flows = isRecord(answer.body) && answer.body.flows !== undefined && errcode === undefined;
  const detail = flows
    ? "it wants a registration token, or a step that only a browser can do"
    : (error ?? errcode);
  const params = { url, user, detail: detail ?? `HTTP ${answer.status}`, errcode: errcode ?? "" };
  if (errcode === "M_USER_IN_USE")
    return mxError("MX_LOGIN_REFUSED", params, { hint: "choose another name: --user NAME" });
  if (errcode === "M_UNRECOGNIZED")
    return mxError(
      "MX_LOGIN_REFUSED",
      { ...params, detail: "it knows no login of this kind" },
      { hint: "log in with a browser: --sso" },
    );
  return mxError("MX_LOGIN_REFUSED", params);
}

function errorOf({ body }: Answer): { errcode?: string; error?: string } {
  if (!isRecord(body)) return {};
  return {
    ...(typeof body.errcode === "string" && { errcode: body.errcode }),
    ...(typeof body.error === "string" && { error: body.error }),
  };
}

/** Of a full user id, what registration asks for. */
function localPart(user: string): string {
  return user.startsWith("@") ? (user.slice(1).split(":")[0] ?? user) : user;
}

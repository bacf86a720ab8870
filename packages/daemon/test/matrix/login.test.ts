import { createServer, type Server } from "node:http";
import { afterEach, expect, test } from "vitest";
import { discoverHomeserver } from "../../src/matrix/discovery.ts";
import { login } from "../../src/matrix/login.ts";

type Routes = Record<string, (body: unknown) => { status?: number; body: unknown; type?: string }>;

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

/** A web server that answers as told; what it does not know is an HTML page. */
async function serve(routes: Routes): Promise<string> {
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const answer = routes[incoming.url ?? ""]?.(text === "" ? undefined : JSON.parse(text));
      response.writeHead(answer?.status ?? (answer ? 200 : 404), {
        "content-type": answer?.type ?? "text/html",
      });
      response.end(
        answer
          ? typeof answer.body === "string"
            ? answer.body
            : JSON.stringify(answer.body)
          : "<h1>404</h1>",
      );
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}`;
}

const versions = { "/_matrix/client/versions": () => ({ body: { versions: ["v1.11"] } }) };
const passwordLogin = (homeserver: string) =>
  login({
    fetch,
    homeserver,
    method: { kind: "password", user: "ada", password: "pw" },
    device_name: "test",
  });

test("a homeserver without .well-known is taken at its own URL", async () => {
  const url = await serve(versions);
  expect(await discoverHomeserver(fetch, `${url}/`)).toBe(url);
});

test("a server name whose .well-known points elsewhere leads there", async () => {
  const real = await serve(versions);
  const front = await serve({
    "/.well-known/matrix/client": () => ({ body: { "m.homeserver": { base_url: `${real}/` } } }),
  });
  expect(await discoverHomeserver(fetch, front)).toBe(real);
});

test.each<[string, Routes, RegExp]>([
  ["a web site", {}, /not JSON/],
  [
    "a site that says HTML with status 200",
    { "/_matrix/client/versions": () => ({ body: "<html>" }) },
    /not JSON/,
  ],
  ["another API", { "/_matrix/client/versions": () => ({ body: { ok: true } }) }, /without versions/],
])("%s is not a homeserver, and is said to be none", async (_, routes, detail) => {
  const url = await serve(routes);
  await expect(passwordLogin(url)).rejects.toMatchObject({ code: "MX_NOT_A_HOMESERVER", details: { url } });
  await expect(passwordLogin(url)).rejects.toThrow(detail);
});

test("a .well-known that points to a web site is told with that site's URL", async () => {
  const site = await serve({});
  const front = await serve({
    ...versions,
    "/.well-known/matrix/client": () => ({ body: { "m.homeserver": { base_url: site } } }),
  });
  await expect(passwordLogin(front)).rejects.toMatchObject({
    code: "MX_NOT_A_HOMESERVER",
    details: { url: site },
  });
});

test.each(["not a url at all", "ftp://example.org", "https://ada:pw@example.org"])(
  "%s is refused before anything is sent",
  async (given) => {
    const nothing = () => Promise.reject(new Error("it was sent"));
    await expect(discoverHomeserver(nothing, given)).rejects.toMatchObject({ code: "MX_NOT_A_HOMESERVER" });
  },
);

test("a password in the URL is refused, and not said again", async () => {
  const refused = discoverHomeserver(fetch, "https://ada:secret@matrix.example.org");
  await expect(refused).rejects.toMatchObject({ code: "MX_NOT_A_HOMESERVER" });
  await refused.catch((error) => expect(JSON.stringify(error)).not.toContain("secret"));
});

test("a server that answers without an end fills no memory", async () => {
  const server = createServer((_, response) => {
    const more = () => {
      while (response.write("x".repeat(65_536)));
      response.once("drain", more);
    };
    more();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  await expect(discoverHomeserver(fetch, `http://127.0.0.1:${address.port}`)).rejects.toMatchObject({
    code: "MX_HOMESERVER_UNREACHABLE",
    message: expect.stringContaining("1048576 bytes"),
  });
});

test("nobody there is unreachable, and says why", async () => {
  const url = await serve({});
  await new Promise((resolve) => servers.pop()?.close(resolve));
  await expect(passwordLogin(url)).rejects.toMatchObject({ code: "MX_HOMESERVER_UNREACHABLE" });
  await expect(passwordLogin(url)).rejects.toThrow("ECONNREFUSED");
});

test("a homeserver that stumbles is unreachable, not a wrong password", async () => {
  const url = await serve({
    ...versions,
    "/_matrix/client/v3/login": () => ({ status: 503, body: "<h1>Service Unavailable</h1>" }),
  });
  await expect(passwordLogin(url)).rejects.toMatchObject({ code: "MX_HOMESERVER_UNREACHABLE" });
});

test("a login that is limited says how long to wait", async () => {
  const limited = { errcode: "M_LIMIT_EXCEEDED", error: "Too Many Requests", retry_after_ms: 30_000 };
  const url = await serve({
    ...versions,
    "/_matrix/client/v3/login": () => ({ status: 429, body: limited }),
  });
  await expect(passwordLogin(url)).rejects.toThrow("try again in 30 s");
});

test("an answer to the login that lacks a token is no login", async () => {
  const url = await serve({
    ...versions,
    "/_matrix/client/v3/login": () => ({ body: { user_id: "@ada:x" } }),
  });
  await expect(passwordLogin(url)).rejects.toMatchObject({ code: "MX_NOT_A_HOMESERVER" });
});

/** A homeserver that wants a registration token, then a dummy stage. */
async function withToken(): Promise<string> {
  const flows = [
    { stages: ["m.login.recaptcha"] },
    { stages: ["m.login.registration_token", "m.login.dummy"] },
  ];
  const done: string[] = [];
  return serve({
    ...versions,
    "/_matrix/client/v3/register": (body) => {
      const { auth, username } = Object(body);
      const challenge = { session: "s1", flows, params: {}, completed: done };
      if (!auth) return { status: 401, body: challenge };
      if (auth.type === "m.login.registration_token" && auth.token !== "sesame") {
        return {
          status: 401,
          body: { ...challenge, errcode: "M_FORBIDDEN", error: "Invalid registration token" },
        };
      }
      done.push(auth.type);
      if (done.length < 2) return { status: 401, body: { ...challenge, completed: done } };
      return { body: { user_id: `@${username}:x`, device_id: "DEV", access_token: "t" } };
    },
  });
}

const register = (homeserver: string, registration_token: string | null) =>
  login({
    fetch,
    homeserver,
    method: { kind: "register", user: "ada", password: "pw", registration_token },
    device_name: "test",
  });

test("an account is made with a registration token, stage by stage", async () => {
  const homeserver = await withToken();
  expect(await register(homeserver, "sesame")).toEqual({
    user_id: "@ada:x",
    device_id: "DEV",
    access_token: "t",
    homeserver,
  });
});

test("a wrong registration token is refused with the server's words, and a missing one is asked for", async () => {
  await expect(register(await withToken(), "wrong")).rejects.toThrow("Invalid registration token");
  await expect(register(await withToken(), null)).rejects.toMatchObject({ code: "MX_LOGIN_REFUSED" });
  await expect(register(await withToken(), null)).rejects.toThrow("registration token");
});

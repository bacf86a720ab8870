/** Where the browser comes back to: a server on loopback that hears one answer, for whoever knows what to ask with. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:http";

export interface Loopback<T> {
  /** What the browser is to be sent to. */
  url: string;
  /** What it brought, when it has come. */
  answer: Promise<T>;
  /** The answer in an address that was pasted; undefined where it is not the one that was asked for. */
  answerOf(pasted: string): T | undefined;
  close(): void;
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>mx-agent</title>
<p>mx-agent has its answer. You can close this page.</p>`;

/**
 * Of single sign-on (`m.login.sso`). Nobody else's answer counts: a page that knew the address could log this machine
 * in to an account of its own. So the path is a secret.
 */
export const listenForToken = (): Promise<Loopback<string>> =>
  listen(`/${randomBytes(16).toString("base64url")}`, (query) => query.get("loginToken") || undefined);

/** A code, or why the authorization server gives none. */
export type CodeAnswer = { code: string } | { error: string };

/** Of OAuth 2.0, where the path is registered and the secret is the `state`, once that is known. */
export async function listenForCode(): Promise<Loopback<CodeAnswer> & { expect(state: string): void }> {
  let wanted: string | undefined;
  const loopback = await listen("/", (query): CodeAnswer | undefined => {
    if (wanted === undefined || !same(query.get("state") ?? "", wanted)) return undefined;
    const code = query.get("code");
    const error = query.get("error");
    if (error) return { error: [error, query.get("error_description")].filter(Boolean).join(": ") };
    return code ? { code } : undefined;
  });
  return {
    ...loopback,
    expect(state) {
      wanted = state;
    },
  };
}

async function listen<T>(
  path: string,
  read: (query: URLSearchParams) => T | undefined,
): Promise<Loopback<T>> {
  const { promise: answer, resolve } = Promise.withResolvers<T>();
  const answerOf = (pasted: string) => {
    const text = pasted.trim();
    if (!URL.canParse(text)) return undefined;
    const url = new URL(text);
    return same(url.pathname, path) ? read(url.searchParams) : undefined;
  };
  const server = createServer((request, response) => {
    const found = request.method === "GET" ? answerOf(`http://127.0.0.1${request.url ?? ""}`) : undefined;
    response.writeHead(found === undefined ? 404 : 200, {
      "content-type": "text/html; charset=utf-8",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      connection: "close",
    });
    response.end(found === undefined ? "" : PAGE, () => found !== undefined && resolve(found));
  });
  const port = await listening(server);
  return { url: `http://127.0.0.1:${port}${path}`, answer, answerOf, close: () => server.close() };
}

/** Takes as long whatever is right of it. */
function same(text: string, secret: string): boolean {
  const [given, wanted] = [Buffer.from(text), Buffer.from(secret)];
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (typeof address === "object" && address !== null) resolve(address.port);
      else reject(new Error("the loopback server has no address"));
    });
  });
}

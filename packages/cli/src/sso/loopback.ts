/** Where the browser comes back to: a server on loopback that hears one login token, for whoever knows its path. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:http";

export interface Loopback {
  /** What the homeserver is to send the browser to. */
  url: string;
  /** The token, when the browser has come. */
  token: Promise<string>;
  /** The token in an address that was pasted; undefined where it is not the one that was asked for. */
  tokenOf(pasted: string): string | undefined;
  close(): void;
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>mx-agent</title>
<p>mx-agent has what it needs. You can close this page.</p>`;

export async function listenForToken(): Promise<Loopback> {
  // Nobody else's answer counts: a page that knew the address could log this machine in to an account of its own.
  const path = `/${randomBytes(16).toString("base64url")}`;
  const { promise: token, resolve } = Promise.withResolvers<string>();
  const tokenOf = (pasted: string) => tokenIn(pasted, path);
  const server = createServer((request, response) => {
    const found = request.method === "GET" ? tokenOf(`http://127.0.0.1${request.url ?? ""}`) : undefined;
    response.writeHead(found === undefined ? 404 : 200, {
      "content-type": "text/html; charset=utf-8",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      connection: "close",
    });
    response.end(found === undefined ? "" : PAGE, () => found !== undefined && resolve(found));
  });
  const port = await listening(server);
  return { url: `http://127.0.0.1:${port}${path}`, token, tokenOf, close: () => server.close() };
}

function tokenIn(text: string, path: string): string | undefined {
  if (!URL.canParse(text.trim())) return undefined;
  const url = new URL(text.trim());
  const [given, wanted] = [Buffer.from(url.pathname), Buffer.from(path)];
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
  return url.searchParams.get("loginToken") || undefined;
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

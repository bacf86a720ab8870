/** A CAS server on loopback that logs everybody in as one user, and a browser that clicks what there is to click. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Cas {
  url: string;
  close(): Promise<void>;
}

/** CAS protocol 3, as far as Synapse asks: /login gives a ticket, /proxyValidate says whose it is, once. */
export async function startCas(user: string): Promise<Cas> {
  const tickets = new Set<string>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const service = url.searchParams.get("service") ?? "";
    if (url.pathname.endsWith("/login") && URL.canParse(service)) {
      const ticket = `ST-${randomBytes(8).toString("hex")}`;
      tickets.add(ticket);
      const back = new URL(service);
      back.searchParams.set("ticket", ticket);
      response.writeHead(302, { location: back.href }).end();
    } else if (url.pathname.endsWith("/proxyValidate") || url.pathname.endsWith("/p3/proxyValidate")) {
      const known = tickets.delete(url.searchParams.get("ticket") ?? "");
      const said = known
        ? `<cas:authenticationSuccess><cas:user>${user}</cas:user></cas:authenticationSuccess>`
        : `<cas:authenticationFailure code="INVALID_TICKET"/>`;
      response.writeHead(200, { "content-type": "application/xml" });
      response.end(
        `<cas:serviceResponse xmlns:cas="http://www.yale.edu/tp/cas">${said}</cas:serviceResponse>`,
      );
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Where a browser that opens the address ends up, before it opens that: Synapse asks whether to go on there. */
export async function browse(address: string): Promise<string> {
  let at = address;
  const jar = new Map<string, string>();
  for (let step = 0; step < 10; step++) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(at, { redirect: "manual", headers: { cookie } });
    for (const set of response.headers.getSetCookie()) {
      const [name = "", value = ""] = set.split(";")[0]?.split("=") ?? [];
      jar.set(name, value);
    }
    const body = await response.text();
    const next = response.headers.get("location") ?? linkIn(body);
    if (next === undefined) throw new Error(`${at}: ${response.status} ${body.slice(0, 500)}`);
    at = new URL(next, at).href;
    if (at.includes("loginToken=")) return at;
  }
  throw new Error(`it goes on and on: ${at}`);
}

const linkIn = (html: string) => /href="([^"]*loginToken=[^"]*)"/.exec(html)?.[1]?.replaceAll("&amp;", "&");

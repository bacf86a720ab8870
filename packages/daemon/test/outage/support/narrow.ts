/** A way to the homeserver on which a client's filter lets only ten events of a room through in one /sync. */
import { createServer, type IncomingMessage } from "node:http";

export async function narrowTimeline(
  target: string,
  limit = 10,
): Promise<{ url: string; close(): Promise<void> }> {
  const ended = new AbortController();
  const server = createServer(async (request, response) => {
    const path = request.url ?? "/";
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    try {
      const body = await read(request);
      const narrowed = /\/user\/[^/]+\/filter$/.test(path) ? narrow(body, limit) : body;
      const answer = await fetch(target + path, {
        method: request.method ?? "GET",
        headers: {
          "content-type": "application/json",
          // An empty one is a wrong one to Synapse.
          ...(request.headers.authorization !== undefined && {
            authorization: request.headers.authorization,
          }),
        },
        signal: AbortSignal.any([ended.signal, gone.signal]),
        ...(narrowed !== "" && { body: narrowed }),
      });
      response.writeHead(answer.status, {
        "content-type": answer.headers.get("content-type") ?? "application/json",
      });
      // Where it says who it is, it is this way to it.
      response.end((await answer.text()).replaceAll(target, `http://${request.headers.host}`));
    } catch {
      // The client hung up, or the homeserver did: either sees it on its own connection.
      response.destroy();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close() {
      ended.abort();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function narrow(body: string, limit: number): string {
  const filter: { room: { timeline: { limit: number } } } = JSON.parse(body);
  filter.room.timeline.limit = limit;
  return JSON.stringify(filter);
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

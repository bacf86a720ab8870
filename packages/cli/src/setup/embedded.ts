/** The embedded homeserver of this home: started where it is not running, on the port that it had before. */
import { createServer } from "node:net";
import { join } from "node:path";
import type { Cli } from "../cli.ts";
import { parseBind } from "../parse/bind.ts";
import { directories } from "../places.ts";
import { doing } from "./progress.ts";
import { readRecord, remember } from "./record.ts";

export interface EmbeddedHomeserver {
  url: string;
  data: string;
  started: boolean;
}

const HOST = "127.0.0.1";
const USUAL_PORT = 8008;

/** Runs it in the background; `bind` is for its first start, by default the usual port or a free one. */
export async function ensureEmbedded(cli: Cli, bind: string | undefined): Promise<EmbeddedHomeserver> {
  const { homeserverStatus, startInBackground } = await import("@mx-agent/homeserver");
  if (bind !== undefined) parseBind(bind);
  const known = readRecord(cli.env).embedded;
  const data = known?.data ?? join(directories(cli.env).data, "homeserver");
  const status = homeserverStatus(data);
  if (status.running) return { url: status.url, data, started: false };
  await doing(cli, "starting the embedded homeserver");
  const wanted = known?.bind ?? (await firstBind(bind));
  // Before it starts: accounts are bound to its address, so a second try must not choose another one.
  remember(cli.env, { embedded: { data, bind: wanted } });
  const { closeInherited } = await import("../background/descriptors.ts");
  const { withoutPassword } = await import("../background/environment.ts");
  closeInherited();
  const starting = startInBackground({
    dataDir: data,
    args: [
      ...process.execArgv,
      cli.entry,
      // Its last words, where it cannot start, are read from its log.
      ...["homeserver", "start", "--foreground", "--json", "--data", data, "--bind", wanted],
    ],
    env: withoutPassword(cli.env),
  });
  try {
    const { url } = await starting;
    return { url, data, started: true };
  } catch (error) {
    // No account is bound to an address at which none has ever run: the next try may name another.
    if (known === undefined) remember(cli.env, { embedded: undefined });
    throw error;
  }
}

/** Whether the homeserver of this URL is the one that `up` started here; its data directory. */
export function embeddedOf(cli: Cli, homeserver: string): string | undefined {
  const { embedded } = readRecord(cli.env);
  if (embedded === undefined) return undefined;
  return homeserver === `http://${embedded.bind}` ? embedded.data : undefined;
}

/** Port 0 is a free one now, and the same one ever after. */
async function firstBind(bind: string | undefined): Promise<string> {
  if (bind !== undefined && !bind.endsWith(":0")) return bind;
  return `${HOST}:${await freePort(bind === undefined ? USUAL_PORT : 0)}`;
}

/** `wanted`, or another one of loopback where that is taken. */
async function freePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE" && wanted !== 0) resolve(freePort(0));
      else reject(error);
    });
    probe.listen(wanted, HOST, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : wanted));
    });
  });
}

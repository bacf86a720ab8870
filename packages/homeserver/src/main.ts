import type { Env } from "@mx-agent/base";
import { createLogger } from "@mx-agent/base/log";
import { startHomeserver } from "./homeserver.ts";
import type { Logger } from "./http/server.ts";
import type { HomeserverOptions } from "./options.ts";
import { removeRunning, writeRunning } from "./running.ts";

/**
 * Runs a homeserver in this process until SIGTERM or SIGINT, or until `signal` is aborted; resolves when
 * it has stopped cleanly. `onReady` is told the URL. With a data directory, `homeserver.json` there says
 * what is running.
 */
export async function runHomeserver(
  options: HomeserverOptions,
  onReady: (url: string) => void = () => {},
  signal?: AbortSignal,
): Promise<void> {
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  const homeserver = await startHomeserver(options);
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  signal?.addEventListener("abort", () => stop(), { once: true });
  if (signal?.aborted === true) stop();
  try {
    if (options.dataDir !== null) {
      const started_at = new Date().toISOString();
      writeRunning(options.dataDir, { pid: process.pid, url: homeserver.url, started_at });
    }
    onReady(homeserver.url);
    await stopped;
  } finally {
    process.off("SIGTERM", stop);
    process.off("SIGINT", stop);
    if (options.dataDir !== null) await removeRunning(options.dataDir);
    await homeserver.close();
  }
}

/** What a server has to say goes to standard error, redacted, as MX_AGENT_LOG and -v (`verbose` times) want it. */
export function homeserverLogger(env: Env, verbose: number): Logger {
  return createLogger({ name: "homeserver", env, verbose });
}

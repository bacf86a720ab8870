import { ensurePrivateDir } from "@mx-agent/base";
import type { Logger } from "@mx-agent/base/log";
import type { IpcServer } from "@mx-agent/ipc/server";
import { writeNotice } from "./lock.ts";

const LOOK_MS = 2_000;

/**
 * Makes the sockets and the notice again where somebody removed them, as a cleaner of temporary files does or a
 * logout: nobody could reach the daemon any more, and none could be started beside it. Returns what ends that.
 */
export function keepReachable(
  server: Pick<IpcServer, "restore">,
  runtimeDir: string,
  noticeFile: string,
  logger: Logger,
): () => void {
  let said = "";
  const look = async () => {
    try {
      ensurePrivateDir(runtimeDir);
      if (!(await server.restore())) return;
      writeNotice(noticeFile);
      said = "";
      logger.warn({ dir: runtimeDir }, "the sockets had been removed, and were made again");
    } catch (error) {
      // The directory may be gone until the next login; once is enough to say.
      const message = error instanceof Error ? error.message : String(error);
      if (message !== said)
        logger.error({ err: error }, "the sockets were removed, and cannot be made again yet");
      said = message;
    }
  };
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look);
  }, LOOK_MS);
  return () => clearInterval(timer);
}

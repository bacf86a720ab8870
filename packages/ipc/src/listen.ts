/** Takes the path of a Unix socket, and nothing that belongs to somebody else. */
import { chmod, lstat, unlink } from "node:fs/promises";
import { createConnection, type Server } from "node:net";
import { type MxError, mxError } from "@mx-agent/base";
import { notASocket, socketPathProblem } from "./socket-path.ts";

/**
 * Makes `server` listen at `path`, for this user alone from the first moment. A socket that nobody
 * answers at is removed first. MX_SOCKET_PATH: too long, not a socket, or no directory.
 * MX_ALREADY_RUNNING: somebody answers there.
 */
export async function listenAt(server: Server, path: string): Promise<void> {
  const problem = socketPathProblem(path);
  if (problem) throw mxError("MX_SOCKET_PATH", { socket: path, detail: problem });
  await removeStale(path);
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => reject(bindError(path, error));
    server.once("error", failed);
    server.once("listening", () => {
      server.off("error", failed);
      resolve();
    });
    // libuv binds inside of this call, so no other file is made under this mask.
    const before = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(before);
    }
  });
  await chmod(path, 0o600);
}

async function removeStale(path: string): Promise<void> {
  let kind: { isSocket(): boolean };
  try {
    kind = await lstat(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw bindError(path, error);
  }
  if (!kind.isSocket()) throw notASocket(path);
  if (await answers(path)) throw mxError("MX_ALREADY_RUNNING", { pid: "unknown" });
  await unlink(path).catch((error) => {
    if (codeOf(error) !== "ENOENT") throw bindError(path, error);
  });
}

/** Whether somebody listens there; what is neither yes nor no counts as yes. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection({ path });
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => resolve(codeOf(error) !== "ECONNREFUSED" && codeOf(error) !== "ENOENT"));
  });
}

function bindError(path: string, error: unknown): MxError {
  if (codeOf(error) === "EADDRINUSE")
    return mxError("MX_ALREADY_RUNNING", { pid: "unknown" }, { cause: error });
  const detail = error instanceof Error ? error.message : String(error);
  return mxError("MX_SOCKET_PATH", { socket: path, detail }, { cause: error });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

import { statSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { type MxError, mxError } from "@mx-agent/base";
import { notASocket, socketPathProblem } from "./socket-path.ts";

/** Connects to the socket at `path`; says why it cannot in words of the catalogue. */
export function dial(path: string): Promise<Socket> {
  const problem = socketPathProblem(path);
  if (problem) return Promise.reject(mxError("MX_SOCKET_PATH", { socket: path, detail: problem }));
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    const failed = (error: NodeJS.ErrnoException) => reject(dialError(path, error));
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      resolve(socket);
    });
  });
}

function dialError(path: string, error: NodeJS.ErrnoException): MxError {
  switch (error.code) {
    case "EPERM":
    case "EACCES":
      return mxError("MX_SOCKET_FORBIDDEN", { socket: path, detail: error.code }, { cause: error });
    case "ENOENT":
      return mxError(
        "MX_DAEMON_UNREACHABLE",
        { socket: path, detail: "there is no socket" },
        { cause: error },
      );
    case "ECONNREFUSED":
      if (isSomethingElse(path)) return notASocket(path, error);
      return mxError(
        "MX_DAEMON_UNREACHABLE",
        { socket: path, detail: "nobody listens there" },
        { cause: error },
      );
    default:
      return mxError("MX_DAEMON_UNREACHABLE", { socket: path, detail: error.message }, { cause: error });
  }
}

/** Than a socket, or nothing. */
function isSomethingElse(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === false;
}

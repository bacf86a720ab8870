import { type MxError, mxError, shellWord } from "@mx-agent/base";

/** sun_path of unix(7), less its final NUL; the kernel cuts what is longer, silently on some systems. */
const LONGEST = process.platform === "darwin" ? 103 : 107;

/** Why no socket can have this path, or undefined. */
export function socketPathProblem(path: string): string | undefined {
  const bytes = Buffer.byteLength(path);
  return bytes > LONGEST ? `its path has ${bytes} bytes, and the system takes ${LONGEST} at most` : undefined;
}

/** Something else than a socket has taken its path. */
export function notASocket(path: string, cause?: unknown): MxError {
  return mxError(
    "MX_SOCKET_PATH",
    { socket: path, detail: "something that is not a socket is in the way" },
    { cause, hint: `move it away: \`ls -ld ${shellWord(path)}\` shows what it is` },
  );
}

import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { MatrixError } from "./errors.ts";

/** What node:http calls it, and how the client hears of it; anything else is no HTTP. */
const refusals: ReadonlyMap<string, readonly [number, string, string]> = new Map([
  ["ERR_HTTP_REQUEST_TIMEOUT", [408, "Request Timeout", "the request took too long to arrive"]],
  ["HPE_HEADER_OVERFLOW", [431, "Request Header Fields Too Large", "the request's head is too large"]],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", [413, "Payload Too Large", "a chunk's extensions are too large"]],
]);

/**
 * Answers what never became a request, in the words of the Client-Server API as everything else, and hangs up.
 * `unfinished` is the answer to the request that did not arrive in full: once its head is out, nothing can follow.
 */
export function refuseMalformed(
  error: NodeJS.ErrnoException,
  socket: Duplex,
  unfinished: ServerResponse | undefined,
): void {
  if (socket.writable && unfinished?.headersSent !== true) {
    const [status, phrase, reason] = refusals.get(error.code ?? "") ?? [
      400,
      "Bad Request",
      "that is no HTTP",
    ];
    const body = JSON.stringify(new MatrixError(status, "M_UNKNOWN", reason));
    const head = [
      `HTTP/1.1 ${status} ${phrase}`,
      "Connection: close",
      "Access-Control-Allow-Origin: *",
      "Content-Type: application/json",
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  }
  socket.destroy(error);
}

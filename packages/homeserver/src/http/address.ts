import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

/**
 * The address that a request comes from, by which strangers are counted. Behind a reverse proxy on this host it is the last
 * of X-Forwarded-For: the proxy wrote that one itself, and what stands before it is the client's own word.
 */
export function clientAddress(request: IncomingMessage, behindProxy: boolean): string {
  const peer = request.socket.remoteAddress ?? "";
  if (!behindProxy || !/^(::ffff:)?127\.|^::1$/.test(peer)) return peer;
  const told = request.headers["x-forwarded-for"];
  const last = String(told ?? "")
    .split(",")
    .at(-1)
    ?.trim();
  return last !== undefined && isIP(last) !== 0 ? last : peer;
}

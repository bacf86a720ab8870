import type { IncomingMessage } from "node:http";
import { MatrixError, tooLarge } from "./errors.ts";

/** Reads a body of at most `max` bytes (M_TOO_LARGE beyond that, before it is in memory). */
export async function readBody(request: IncomingMessage, max: number): Promise<Buffer> {
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > max) throw tooLarge(`the body may have ${max} bytes`);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // Leaving this loop early must not destroy the socket that the refusal goes out on.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > max) throw tooLarge(`the body may have ${max} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof MatrixError) throw error;
    throw new MatrixError(400, "M_UNKNOWN", "the body did not arrive in full");
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

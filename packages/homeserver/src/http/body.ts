import type { IncomingMessage } from "node:http";
import type { BodyMemory } from "./connections.ts";
import { MatrixError, tooLarge } from "./errors.ts";

/**
 * Reads a body of at most `max` bytes (M_TOO_LARGE beyond that, before it is in memory); M_LIMIT_EXCEEDED
 * when too much is on its way in already.
 */
export async function readBody(request: IncomingMessage, max: number, memory: BodyMemory): Promise<Buffer> {
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > max) throw tooLarge(`the body may have ${max} bytes`);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // Leaving this loop early must not destroy the socket that the refusal goes out on.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (size + chunk.length > max) throw tooLarge(`the body may have ${max} bytes`);
      memory.take(chunk.length);
      size += chunk.length;
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof MatrixError) throw error;
    throw new MatrixError(400, "M_UNKNOWN", "the body did not arrive in full");
  } finally {
    memory.giveBack(size);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

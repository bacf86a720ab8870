/**
 * The body of an answer; undefined where it has more bytes: whoever answers in a homeserver's place fills no memory of ours.
 * Rejects when the signal comes before the end does.
 */
export async function bytesUpTo(
  response: Response,
  max_bytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const sink = new WritableStream<Uint8Array>({
    write(part, controller) {
      length += part.length;
      if (length > max_bytes) controller.error(tooMuch);
      else parts.push(part);
    },
  });
  try {
    await response.body?.pipeTo(sink, { ...(signal && { signal }) });
  } catch (error) {
    if (error === tooMuch) return undefined;
    throw error;
  }
  return new Uint8Array(Buffer.concat(parts));
}

const tooMuch = new Error("there is more than the limit");

/** Far more than anything that we ask for without the SDK has. */
const MOST_BYTES = 1024 * 1024;

/** As text. Rejects where it has more than a MiB. */
export async function shortText(response: Response): Promise<string> {
  const bytes = await bytesUpTo(response, MOST_BYTES);
  if (bytes === undefined) throw new Error(`the answer has more than ${MOST_BYTES} bytes`);
  return Buffer.from(bytes).toString("utf8");
}

/** Sharing a piece of work: PROTOCOL "Timeline events", context.share. */
import { z } from "zod";
import { count, encryptedFile, id, mxcUri, sha256, signed, text } from "./fields.ts";
import { encoding } from "./stream.ts";

/** Small ones are inline (`data` with its `encoding`), large ones are media (`mxc_uri`). */
export const contextShare = z
  .looseObject({
    context_id: id,
    name: text,
    mime_type: text,
    size_bytes: count,
    /** Of the bytes themselves, before any encryption. */
    sha256,
    data: z.exactOptional(text),
    encoding: z.exactOptional(encoding),
    mxc_uri: z.exactOptional(mxcUri),
    encrypted_file: z.exactOptional(encryptedFile),
    ...signed,
  })
  .refine((share) => (share.data === undefined) !== (share.mxc_uri === undefined), {
    message: "carries either data or mxc_uri",
  })
  .refine((share) => (share.data === undefined) === (share.encoding === undefined), {
    path: ["encoding"],
    message: "goes with data",
  });

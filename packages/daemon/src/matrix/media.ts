import { createHash } from "node:crypto";
import { mxError } from "@mx-agent/base";
import {
  damaged,
  decryptAttachment,
  type EncryptedFile,
  encryptAttachment,
  type ReceivedFile,
} from "./attachment.ts";
import { bytesUpTo } from "./bounded-body.ts";
import { describe, type Fetch, isRecord } from "./types.ts";

/** What an event says about media that it goes with: the fields of `stream.artifact` and `context.share`. */
export interface MediaReference {
  mxc_uri: string;
  /** Where it was encrypted; its `url` then counts. */
  encrypted_file?: ReceivedFile;
  /** Of the bytes before encryption, standard base64 with padding. */
  sha256: string;
  size_bytes: number;
}

export type UploadedMedia = MediaReference & { encrypted_file?: EncryptedFile };

/** What does not fit into an event: kept by the homeserver, encrypted where its room is. */
export interface Media {
  /**
   * Uploads bytes that an event in this room will refer to. MX_HOMESERVER_ERROR, MX_HOMESERVER_UNREACHABLE; MX_NOT_FOUND
   * for a room that /sync has not brought, which may be encrypted without our knowing.
   */
  upload(room_id: string, bytes: Uint8Array<ArrayBuffer>, mime_type: string): Promise<UploadedMedia>;
  /**
   * The bytes that an event in this room refers to, as they were before encryption, with size and both digests checked.
   * Reads no more than `max_bytes`. MX_BAD_INPUT when they are more, others than announced, or plain where the room is
   * encrypted; errors of the homeserver as `upload`.
   */
  download(room_id: string, reference: MediaReference, max_bytes: number): Promise<Uint8Array<ArrayBuffer>>;
}

export interface MediaOptions {
  /** Waits out rate limits. */
  fetch: Fetch;
  homeserver: string;
  /** The access token of the moment. */
  token(): string;
  /** After HTTP 401: whether there is a token to try again with. */
  renew(): Promise<boolean>;
  /** Whether we are in that room, as far as /sync has brought it. */
  isJoined(room_id: string): boolean;
  isEncrypted(room_id: string): boolean;
  /** How long the bytes of a download may take to come, once they do, milliseconds; by default `slowestMs`. */
  deadlineMs?: (bytes: number) => number;
}

/** A minute, and for each megabyte another one: what is slower than 16 KB a second is not waited for. */
export const slowestMs = (bytes: number): number => 60_000 + Math.ceil(bytes / 16);

/** Media over the Client-Server API ("Content repository"), with an access token. */
export function mediaOf(options: MediaOptions): Media {
  return {
    async upload(room_id, bytes, mime_type) {
      if (!options.isJoined(room_id))
        throw mxError("MX_NOT_FOUND", { what: "joined room", name: room_id, hint: "join it first" });
      const described = { sha256: digestOf(bytes), size_bytes: bytes.length };
      if (!options.isEncrypted(room_id))
        return { ...described, mxc_uri: await post(options, bytes, mime_type) };
      const { cipher, file } = await encryptAttachment(bytes);
      const url = await post(options, cipher, "application/octet-stream");
      return { ...described, mxc_uri: url, encrypted_file: { ...file, url } };
    },
    async download(room_id, { mxc_uri, encrypted_file, sha256, size_bytes }, max_bytes) {
      const url = encrypted_file?.url ?? mxc_uri;
      if (!encrypted_file && options.isEncrypted(room_id))
        throw damaged(url, "it is plain, and its room is encrypted");
      if (size_bytes > max_bytes)
        throw damaged(url, `it has ${size_bytes} bytes, and ${max_bytes} are the limit`);
      const bytes = await get(options, url, max_bytes);
      const plain = encrypted_file ? await decryptAttachment(bytes, encrypted_file) : bytes;
      if (plain.length !== size_bytes || digestOf(plain) !== sha256)
        throw damaged(url, "it is not what was announced");
      return plain;
    },
  };
}

/** POST /_matrix/media/v3/upload; the mxc:// URI. */
async function post(options: MediaOptions, bytes: Uint8Array<ArrayBuffer>, type: string): Promise<string> {
  const response = await ask(options, "/_matrix/media/v3/upload", { method: "POST", body: bytes, type });
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw refused(body, response.status);
  if (isRecord(body) && typeof body.content_uri === "string") return body.content_uri;
  throw mxError("MX_NOT_A_HOMESERVER", {
    url: options.homeserver,
    detail: "an upload has no URI",
  });
}

/** GET /_matrix/client/v1/media/download, or what servers before version 1.11 of the specification have. */
async function get(options: MediaOptions, url: string, max_bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const [, server, id] = /^mxc:\/\/([^/?#]+)\/([^/?#]+)$/.exec(url) ?? [];
  if (server === undefined || id === undefined) throw damaged(url, "it is not an mxc:// URI");
  const path = `/download/${encodeURIComponent(server)}/${encodeURIComponent(id)}`;
  let response = await ask(options, `/_matrix/client/v1/media${path}`, { method: "GET" });
  if (!response.ok) {
    const body: unknown = await response.json().catch(() => undefined);
    if (!isRecord(body) || body.errcode !== "M_UNRECOGNIZED") throw refused(body, response.status);
    response = await ask(options, `/_matrix/media/v3${path}`, { method: "GET" });
    if (!response.ok) throw refused(await response.json().catch(() => undefined), response.status);
  }
  const bytes = await bodyOf(response, max_bytes, options);
  if (bytes === undefined) throw damaged(url, `it has more than the ${max_bytes} bytes that are the limit`);
  return bytes;
}

interface Request {
  method: string;
  body?: Uint8Array<ArrayBuffer>;
  type?: string;
}

async function ask(options: MediaOptions, path: string, request: Request): Promise<Response> {
  const response = await askOnce(options, path, request);
  return response.status === 401 && (await options.renew()) ? askOnce(options, path, request) : response;
}

async function askOnce(
  { fetch, homeserver, token }: MediaOptions,
  path: string,
  { method, body, type }: Request,
): Promise<Response> {
  const headers = {
    authorization: `Bearer ${token()}`,
    ...(type !== undefined && { "content-type": type }),
  };
  try {
    return await fetch(homeserver + path, { method, headers, ...(body && { body }) });
  } catch (error) {
    const params = { url: homeserver, detail: describe(error) };
    throw mxError("MX_HOMESERVER_UNREACHABLE", params, { cause: error });
  }
}

/** A server that sends without end fills no memory, and one that trickles is not waited for. */
async function bodyOf(
  response: Response,
  max_bytes: number,
  { homeserver, deadlineMs = slowestMs }: MediaOptions,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const late = AbortSignal.timeout(deadlineMs(max_bytes));
  try {
    return await bytesUpTo(response, max_bytes, late);
  } catch (error) {
    const detail = late.aborted ? "it sends media too slowly" : describe(error);
    throw mxError("MX_HOMESERVER_UNREACHABLE", { url: homeserver, detail }, { cause: error });
  }
}

function refused(body: unknown, status: number) {
  const { errcode, error } = isRecord(body) ? body : {};
  return mxError("MX_HOMESERVER_ERROR", {
    errcode: typeof errcode === "string" ? errcode : `HTTP ${status}`,
    detail: typeof error === "string" ? error : "",
  });
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}

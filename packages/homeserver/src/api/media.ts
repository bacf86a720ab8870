import { randomBytes } from "node:crypto";
import type { App } from "../app.ts";
import { missingParam, notFound, tooLarge } from "../http/errors.ts";
import { queryInteger } from "../http/json.ts";
import { type ApiRequest, Download } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { contentDisposition, safeContentType } from "../media/headers.ts";

const upload = { body: "raw", limit: "upload" } as const;
const v1 = "/_matrix/client/v1/media";

/** "Content repository": upload, and download for those with an access token. */
export function mediaRoutes(app: App): Route[] {
  const config = () => ({ "m.upload.size": app.settings.maxUploadBytes });
  const fetch = (request: ApiRequest) => download(app, request);
  return [
    route("POST", "/_matrix/media/v3/upload", (request) => put(app, request), upload),
    route("GET", "/_matrix/media/v3/config", config),
    route("GET", `${v1}/config`, config),
    route("GET", `${v1}/download/{serverName}/{mediaId}`, fetch),
    route("GET", `${v1}/download/{serverName}/{mediaId}/{fileName}`, fetch),
    route("GET", `${v1}/thumbnail/{serverName}/{mediaId}`, (request) => thumbnail(app, request)),
  ];
}

async function put(app: App, request: ApiRequest): Promise<unknown> {
  const max = app.settings.maxUploadBytes;
  const declared = Number(request.raw.headers["content-length"] ?? 0);
  if (declared > max) throw tooLarge(`an upload may have ${max} bytes`);
  const { sha256, size } = await app.media.put(request.raw, max);
  const mediaId = randomBytes(18).toString("base64url");
  const { db, media } = app.store;
  db.transaction(() =>
    media.add({
      media_id: mediaId,
      sha256,
      size,
      content_type: request.raw.headers["content-type"] ?? "application/octet-stream",
      filename: request.query.get("filename"),
      uploader: request.userId,
      ts: app.now(),
    }),
  );
  return { content_uri: `mxc://${app.settings.serverName}/${mediaId}` };
}

/** A thumbnail may be larger than asked for; the original is. */
function thumbnail(app: App, request: ApiRequest): Promise<unknown> {
  for (const name of ["width", "height"]) {
    if (!request.query.has(name)) throw missingParam(name);
    queryInteger(request.query, name, 0, 1, 10_000);
  }
  return download(app, request);
}

async function download(app: App, request: ApiRequest): Promise<unknown> {
  const row =
    request.param("serverName") === app.settings.serverName
      ? app.store.media.get(request.param("mediaId"))
      : undefined;
  if (row === undefined || !(await app.media.has(row.sha256))) throw notFound("there is no such media here");
  const named = /\/download\/[^/]+\/[^/]+\/[^/]+$/.test(request.path)
    ? request.param("fileName")
    : row.filename;
  const contentType = safeContentType(row.content_type);
  return new Download(app.media.path(row.sha256), row.size, {
    "Content-Type": contentType,
    "Content-Disposition": contentDisposition(contentType, named),
    "Content-Security-Policy":
      "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self'; media-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "private, max-age=86400, immutable",
    ETag: `"${row.sha256}"`,
  });
}

/** Types that a browser only shows: the list of the specification, "Serving inline content". */
const inlineTypes: ReadonlySet<string> = new Set([
  "text/css",
  "text/plain",
  "text/csv",
  "application/json",
  "application/ld+json",
  "image/jpeg",
  "image/gif",
  "image/png",
  "image/apng",
  "image/webp",
  "image/avif",
  "video/mp4",
  "video/webm",
  "video/ogg",
  "video/quicktime",
  "audio/mp4",
  "audio/webm",
  "audio/aac",
  "audio/mpeg",
  "audio/ogg",
  "audio/wave",
  "audio/wav",
  "audio/x-wav",
  "audio/x-pn-wav",
  "audio/flac",
  "audio/x-flac",
]);

/** The type to serve bytes as: what the uploader said, unless a browser would run it. */
export function safeContentType(declared: string): string {
  const type = declared.split(";")[0]?.trim().toLowerCase() ?? "";
  if (inlineTypes.has(type)) return type === "text/plain" ? "text/plain; charset=UTF-8" : type;
  const active = /html|xml|svg|script|pdf|flash|java|wasm|xsl|mhtml|multipart/.test(type);
  return !active && /^[a-z0-9!#$&^_.+-]{1,60}\/[a-z0-9!#$&^_.+-]{1,80}$/.test(type)
    ? type
    : "application/octet-stream";
}

/** `inline` for what is only shown, `attachment` for all else, with the file's name (RFC 6266). */
export function contentDisposition(contentType: string, filename: string | null): string {
  const kind = inlineTypes.has(contentType.split(";")[0] ?? "") ? "inline" : "attachment";
  if (filename === null || filename === "") return kind;
  if (/^[A-Za-z0-9._-]{1,200}$/.test(filename)) return `${kind}; filename=${filename}`;
  const encoded = encodeURIComponent(filename.toWellFormed().slice(0, 200).toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename*=utf-8''${encoded}`;
}

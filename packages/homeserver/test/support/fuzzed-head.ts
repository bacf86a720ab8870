import fc from "fast-check";

/** The routes that are called, and what a caller may name as theirs. */
export interface Called {
  readonly method: string;
  readonly pattern: string;
}

const anyByte = fc.integer({ min: 0, max: 255 }).filter((byte) => byte !== 10);
const bytes = (maxLength: number) =>
  fc.array(anyByte, { maxLength }).map((codes) => String.fromCharCode(...codes));

const authorization = (token: string) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant(`Bearer ${token}`) },
    fc.constantFrom(
      "",
      "Bearer",
      "Bearer ",
      "bearer x",
      `Bearer  ${token}`,
      `Bearer ${token} ${token}`,
      `Bearer ${token},Bearer ${token}`,
      `Basic ${token}`,
      `Bearer ${token}\u0000`,
      `Bearer ${token}\u00e9`,
      `Bearer ${"x".repeat(10_000)}`,
      `Bearer ${"x".repeat(100_000)}`,
    ),
    bytes(40).map((text) => `Bearer ${text}`),
    bytes(40),
  );

const header = (token: string): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 20, arbitrary: authorization(token).map((value) => `Authorization: ${value}`) },
    fc
      .constantFrom(
        "",
        "text/html",
        "application/json; charset=utf-16",
        "multipart/form-data",
        "é",
        "x".repeat(9_000),
      )
      .map((value) => `Content-Type: ${value}`),
    fc
      .constantFrom("0", "1", "2", "3", "-1", "+2", "0x2", "2, 2", "1e1", "", "99999999999999999999")
      .map((value) => `Content-Length: ${value}`),
    fc
      .constantFrom("chunked", "gzip", "chunked, chunked", "identity", "\u000bchunked", "")
      .map((value) => `Transfer-Encoding: ${value}`),
    fc.constantFrom("gzip", "br", "zstd, gzip", "nothing").map((value) => `Content-Encoding: ${value}`),
    fc.constantFrom(
      "Expect: 100-continue",
      "Expect: wonders",
      "Upgrade: websocket\r\nConnection: Upgrade",
      "Connection: close, keep-alive",
      "Host: y",
      "Host:",
      "Range: bytes=5-1,-0",
      "Origin: null",
      "X-Forwarded-For: ::1",
      " folded: onto the line before",
      ": no name",
      "no colon",
      "__proto__: x",
      `X-Huge: ${"x".repeat(20_000)}`,
      "X-Many: x\r\n".repeat(200).trimEnd(),
    ),
    // An empty line would end the head before it says that the connection ends.
    bytes(60).filter((line) => line.replaceAll("\r", "") !== ""),
  );

/** A request as bytes (latin1): its line is right, and what comes after it is a stranger's. */
export function fuzzedHead(routes: readonly Called[], token: string): fc.Arbitrary<string> {
  return fc
    .record({
      route: fc.constantFrom(...routes),
      part: fc.constantFrom("x", "%00", "%ff", "@alice:localhost"),
      query: fc.constantFrom("", `?access_token=${token}`, "?access_token=", "?access_token=%00"),
      headers: fc.array(header(token), { maxLength: 3 }),
      body: fc.constantFrom(
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "{}",
        "{",
        "0\r\n\r\n",
        "2\r\n{}\r\n0\r\n\r\n",
        "zz\r\n",
      ),
    })
    .map(({ route, part, query, headers, body }) => {
      const path = route.pattern.replaceAll(/\{\w+\}/g, part) + query;
      return [`${route.method} ${path} HTTP/1.1`, "Host: x", ...headers, "Connection: close", "", body].join(
        "\r\n",
      );
    });
}

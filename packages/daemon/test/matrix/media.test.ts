/** Media and an access token that ran out. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { mediaOf } from "../../src/matrix/media.ts";

const bytes = new TextEncoder().encode("hello");
const reference = {
  mxc_uri: "mxc://localhost/abc",
  size_bytes: bytes.length,
  sha256: createHash("sha256").update(bytes).digest("base64"),
};

/** A homeserver that knows one token alone. */
function media(renew: (use: (token: string) => void) => boolean) {
  let token = "old";
  const asked: string[] = [];
  return {
    asked,
    media: mediaOf({
      fetch: async (_, init) => {
        const given = new Headers(init?.headers).get("authorization") ?? "";
        asked.push(given);
        return given === "Bearer new"
          ? new Response(bytes)
          : Response.json({ errcode: "M_UNKNOWN_TOKEN", error: "not active" }, { status: 401 });
      },
      homeserver: "http://127.0.0.1:1",
      token: () => token,
      renew: async () =>
        renew((renewed) => {
          token = renewed;
        }),
      isEncrypted: () => false,
    }),
  };
}

test("what a token that ran out did not get is asked for once more with the next one", async () => {
  const { media: store, asked } = media((use) => {
    use("new");
    return true;
  });
  expect(await store.download(reference, 1_000)).toEqual(bytes);
  expect(asked).toEqual(["Bearer old", "Bearer new"]);
});

test("where there is no next one, the homeserver's answer stands", async () => {
  const { media: store, asked } = media(() => false);
  await expect(store.download(reference, 1_000)).rejects.toMatchObject({ code: "MX_HOMESERVER_ERROR" });
  expect(asked).toHaveLength(1);
});

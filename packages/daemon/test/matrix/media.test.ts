/** Media and an access token that ran out. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { mediaOf, slowestMs } from "../../src/matrix/media.ts";

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
      isJoined: () => true,
      isEncrypted: () => false,
    }),
  };
}

test("what a token that ran out did not get is asked for once more with the next one", async () => {
  const { media: store, asked } = media((use) => {
    use("new");
    return true;
  });
  expect(await store.download("!room:localhost", reference, 1_000)).toEqual(bytes);
  expect(asked).toEqual(["Bearer old", "Bearer new"]);
});

test("where there is no next one, the homeserver's answer stands", async () => {
  const { media: store, asked } = media(() => false);
  await expect(store.download("!room:localhost", reference, 1_000)).rejects.toMatchObject({
    code: "MX_HOMESERVER_ERROR",
  });
  expect(asked).toHaveLength(1);
});

/** A homeserver that sends a byte every now and then, for ever. */
function trickle(cancelled: () => void) {
  let timer: NodeJS.Timeout | undefined;
  const body = new ReadableStream({
    start(controller) {
      timer = setInterval(() => controller.enqueue(new Uint8Array(1)), 1);
    },
    cancel() {
      clearInterval(timer);
      cancelled();
    },
  });
  return mediaOf({
    fetch: async () => new Response(body),
    homeserver: "http://127.0.0.1:1",
    token: () => "t",
    renew: async () => false,
    isJoined: () => true,
    isEncrypted: () => false,
    deadlineMs: () => 50,
  });
}

test("what trickles for ever is given up, and its connection too", async () => {
  const cancelled = Promise.withResolvers<void>();
  const large = { ...reference, size_bytes: 1_000_000 };
  await expect(
    trickle(cancelled.resolve).download("!room:localhost", large, 1_000_000),
  ).rejects.toMatchObject({
    code: "MX_HOMESERVER_UNREACHABLE",
    message: expect.stringContaining("too slowly"),
  });
  await cancelled.promise;
});

test("what has more bytes than the limit is given up, and its connection too", async () => {
  const cancelled = Promise.withResolvers<void>();
  const small = { ...reference, size_bytes: 5 };
  await expect(trickle(cancelled.resolve).download("!room:localhost", small, 5)).rejects.toMatchObject({
    code: "MX_BAD_INPUT",
  });
  await cancelled.promise;
});

test("a link of 16 KB a second is fast enough", () => {
  expect(slowestMs(64 * 1024 * 1024)).toBeGreaterThan((64 * 1024 * 1024) / 16);
});

/** Invitation links, as they are pasted, cut and changed on their way. */
import { generateSigningKey, type InviteLink, readInviteLink, writeInviteLink } from "@mx-agent/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const key = generateSigningKey();
const link: InviteLink = {
  invite_id: "Dm2KMg9-1sSdl0X43OABWw",
  secret: "RCeL01eZfSIHnszr-Ttngg",
  homeserver: "https://matrix.example.org",
  room_id: "!farm:example.org",
  room_name: "farm – Ünïcode",
  encrypted: true,
  via: ["example.org"],
  user_id: "@laptop:example.org",
  agent_id: "laptop",
  public_key: Buffer.from(key.publicKey).toString("base64").replace(/=+$/, ""),
  box_key: "PqTLDDk66nDiqit4BoR0xjX2BuZKGcRGxDbLtZMIvx0",
  role: "agent",
  expires_at: "2030-01-01T00:00:00.000Z",
  registration_token: null,
};
const text = writeInviteLink(link, key);

test("a link says what its writer said", () => {
  expect(readInviteLink(text)).toEqual({ ok: true, link });
  expect(text).toMatch(/^mxagent:1\.\d+\.[\w-]+$/);
});

test("a line break, spaces and angle brackets around it are no change", () => {
  for (const pasted of [`${text}\n`, ` ${text} `, `<${text}>`, text.replace(/(.{76})/g, "$1\r\n")])
    expect(readInviteLink(pasted)).toEqual({ ok: true, link });
});

test("every change of one character is found", () => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:=";
  fc.assert(
    fc.property(
      fc.nat(text.length - 1),
      fc.constantFrom(...alphabet),
      (at, character) =>
        text.charAt(at) === character ||
        !readInviteLink(text.slice(0, at) + character + text.slice(at + 1)).ok,
    ),
    { numRuns: 2_000 },
  );
});

describe("what is wrong with it is said", () => {
  const payload = text.slice(text.lastIndexOf(".") + 1);
  const changed = (edit: (content: Record<string, unknown>) => void) => {
    const content = JSON.parse(Buffer.from(payload, "base64url").toString());
    edit(content);
    const bytes = Buffer.from(JSON.stringify(content)).toString("base64url");
    return `mxagent:1.${bytes.length}.${bytes}`;
  };
  test.each([
    ["cut off", text.slice(0, -1), "cut_off"],
    ["cut off at a line break", text.slice(0, 76), "cut_off"],
    ["with words behind it", `${text}please`, "too_long"],
    ["of a later format", text.replace("mxagent:1.", "mxagent:2."), "newer"],
    ["that is none", "https://matrix.to/#/!farm:example.org", "no_link"],
    ["that is empty", "", "no_link"],
    [
      "of another expiry",
      changed((content) => Object.assign(content, { expires_at: "2031-01-01T00:00:00.000Z" })),
      "changed",
    ],
    [
      "for another room",
      changed((content) => Object.assign(content, { room_id: "!other:example.org" })),
      "changed",
    ],
    [
      "with another server",
      changed((content) => Object.assign(content, { homeserver: "https://evil.example" })),
      "changed",
    ],
    ["with a field more", changed((content) => Object.assign(content, { more: true })), "changed"],
    ["with a field less", changed((content) => delete content.role), "changed"],
    ["of enormous length", `mxagent:1.${10 ** 9}.${"A".repeat(9_000)}`, "changed"],
    ["of no JSON", "mxagent:1.4.AAAA", "changed"],
  ])("of one %s", (_, pasted, problem) => {
    expect(readInviteLink(pasted)).toMatchObject({ ok: false, problem });
  });

  test("of one that another key signed for this one", () => {
    const forged = writeInviteLink(link, generateSigningKey());
    const other = Buffer.from(forged.slice(forged.lastIndexOf(".") + 1), "base64url").toString();
    const put = JSON.stringify({ ...JSON.parse(other), public_key: link.public_key });
    const bytes = Buffer.from(put).toString("base64url");
    expect(readInviteLink(`mxagent:1.${bytes.length}.${bytes}`)).toMatchObject({ problem: "changed" });
  });
});

test("whatever a stranger gives out as a link is answered, and never thrown", () => {
  fc.assert(fc.property(fc.string(), (any) => !readInviteLink(any).ok));
  fc.assert(
    fc.property(fc.json(), (json) => {
      const bytes = Buffer.from(json).toString("base64url");
      return !readInviteLink(`mxagent:1.${bytes.length}.${bytes}`).ok;
    }),
  );
});

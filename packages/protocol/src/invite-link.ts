/**
 * The text of an invitation link: `mxagent:1.<length>.<payload>`. The payload is the canonical JSON of an
 * InviteLink in base64url without padding, signed by the inviter's key: there is one spelling of a link, and
 * every change of it is found. The length tells a link that was cut off from one that was changed.
 */
import { canonicalBytes } from "./canonical-json.ts";
import { signBytes, signedBytes, verifySignature } from "./signing.ts";
import { decodePublicKey, encodePublicKey, type SigningKey } from "./signing-key.ts";
import { parseTime } from "./times.ts";
import type { Signature } from "./v1/fields.ts";

const PREFIX = "mxagent:";
const FORMAT = "1";
const MAX_PAYLOAD = 8_192;
/** Signed with the rest: no signature of another kind of ours fits a link. */
const KIND = "com.mxagent.invite.link.v1";

export const inviteRoles = ["member", "agent"] as const;
/** `member`: may read and write. `agent`: may register an agent as well (power 50). */
export type InviteRole = (typeof inviteRoles)[number];

export interface InviteLink {
  invite_id: string;
  /** Whoever knows it may use the invitation. */
  secret: string;
  /** The inviter's base URL. */
  homeserver: string;
  room_id: string;
  room_name: string;
  encrypted: boolean;
  /** Servers that know the room. */
  via: string[];
  user_id: string;
  agent_id: string;
  /** The inviter's signing key; base64 without padding. */
  public_key: string;
  /** The X25519 key that proofs are sealed to; base64 without padding. */
  box_key: string;
  role: InviteRole;
  expires_at: string;
  /** Lets the guest make an account on the homeserver; null where it needs none of us. */
  registration_token: string | null;
}

export type ReadInviteLink =
  | { ok: true; link: InviteLink }
  | { ok: false; problem: "no_link" | "cut_off" | "too_long" | "changed" | "newer"; detail: string };

export function writeInviteLink(link: InviteLink, key: SigningKey): string {
  const content = { ...link, kind: KIND, public_key: encodePublicKey(key.publicKey) };
  const signed = { ...content, signature: signBytes(signedBytes(content), key) };
  const payload = canonicalBytes(signed).toString("base64url");
  return `${PREFIX}${FORMAT}.${payload.length}.${payload}`;
}

/** Reads a link as it was pasted: white space in it, a line break for example, is no change. */
export function readInviteLink(pasted: string): ReadInviteLink {
  const text = pasted.replace(/\s+/g, "").replace(/^<(.*)>$/, "$1");
  const parts = /^mxagent:(\d+)\.(\d+)\.(.*)$/.exec(text);
  if (!parts) return failed("no_link", `a link begins with ${PREFIX}`);
  const [, format = "", length = "", payload = ""] = parts;
  if (format !== FORMAT) return failed("newer", `this link has format ${format}, known here is ${FORMAT}`);
  if (Number(length) > MAX_PAYLOAD || payload.length > MAX_PAYLOAD)
    return failed("changed", "it is longer than any link");
  if (payload.length < Number(length))
    return failed("cut_off", `${payload.length} of ${Number(length)} characters are there`);
  if (payload.length > Number(length))
    return failed("too_long", `${payload.length - Number(length)} characters follow its end`);
  const link = verified(payload);
  return link ? { ok: true, link } : failed("changed", "its signature does not fit what it says");
}

function failed(problem: Exclude<ReadInviteLink, { ok: true }>["problem"], detail: string): ReadInviteLink {
  return { ok: false, problem, detail };
}

function verified(payload: string): InviteLink | undefined {
  const bytes = Buffer.from(payload, "base64url");
  if (bytes.toString("base64url") !== payload) return undefined;
  try {
    const content: unknown = JSON.parse(bytes.toString("utf8"));
    if (!isLink(content) || !canonicalBytes(content).equals(bytes)) return undefined;
    const key = decodePublicKey(content.public_key);
    if (!key || verifySignature(content, key) !== "ok") return undefined;
    const { kind: _, signature: __, ...link } = content;
    return link;
  } catch {
    // Neither JSON nor canonical: somebody changed it.
    return undefined;
  }
}

type Signed = InviteLink & { kind: string; signature: Signature };

const texts = [
  "invite_id",
  "secret",
  "homeserver",
  "room_id",
  "room_name",
  "user_id",
  "agent_id",
  "public_key",
  "box_key",
] as const;

function isLink(value: unknown): value is Signed {
  if (typeof value !== "object" || value === null) return false;
  const link: Partial<Record<keyof Signed, unknown>> = value;
  const { via, registration_token: token, expires_at: expires } = link;
  return (
    link.kind === KIND &&
    texts.every((name) => typeof link[name] === "string") &&
    typeof link.encrypted === "boolean" &&
    inviteRoles.some((role) => role === link.role) &&
    typeof expires === "string" &&
    parseTime(expires) !== undefined &&
    (token === null || typeof token === "string") &&
    Array.isArray(via) &&
    via.every((server) => typeof server === "string")
  );
}

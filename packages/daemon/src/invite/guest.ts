import { mxError } from "@mx-agent/base";
import {
  decodePublicKey,
  EventTypes,
  encodePublicKey,
  fingerprintOf,
  formatTime,
  type InviteLink,
  type InviteRefusal,
  type InviteVerdict,
  keyIdOf,
  parseContent,
  parseInviteVerdict,
} from "@mx-agent/protocol";
import type { Auditor } from "../audit-entries.ts";
import type { Identity } from "../identity.ts";
import type { IncomingEvent, MatrixSession } from "../matrix/api.ts";
import type { Tables } from "../state/tables.ts";
import { typed } from "../typed.ts";
import type { Workspaces } from "../workspace/workspaces.ts";
import { type BoxKey, newBoxKey, seal, unseal } from "./seal.ts";

export interface GuestParts {
  tables: Pick<Tables, "db" | "settings" | "trust">;
  identity: Identity;
  session: MatrixSession;
  workspaces: Workspaces;
  audit: Auditor;
  now(): number;
}

/** To-device messages are lost now and then: a proof is sent again after this, milliseconds. */
const AGAIN_MS = 4_000;
/** A look at the link, the answer and what is to be waited for. */
export interface Redeeming {
  link: InviteLink;
  agent_id: string;
  /** Whether the workspace has to be encrypted. */
  encrypted: boolean;
  /** How long the inviter's daemon may take to answer. */
  wait_ms: number;
  signal: AbortSignal;
}

interface Asked {
  link: InviteLink;
  key: BoxKey;
  answered: PromiseWithResolvers<InviteVerdict>;
}

/** The guest's side: proves to the inviter's daemon that it has the link, joins, and pins the inviter's key. */
export class Guest {
  readonly #parts: GuestParts;
  readonly #asked = new Map<string, Asked>();

  constructor(parts: GuestParts) {
    this.#parts = parts;
  }

  /**
   * Uses a link that was read and shown. Whatever was done before is left as it is; `false` when that was all.
   * MX_INVITE_REFUSED with the inviter's reason, MX_NO_ANSWER when his daemon does not answer.
   */
  async redeem(redeeming: Redeeming): Promise<boolean> {
    const { link, agent_id, encrypted } = redeeming;
    const { tables, session, workspaces } = this.#parts;
    const done = `invite.redeemed ${link.invite_id}`;
    if (tables.settings.get(done) !== undefined && session.rooms.get(link.room_id)?.membership === "join")
      return false;
    this.#checkOtherKey(link);
    this.#checkServer(link);
    await session.ready();
    const { refusal } = await this.#ask(redeeming);
    if (refusal !== null) throw refused(link, refusal, agent_id);
    await workspaces.join(link.room_id, encrypted, link.via);
    tables.db.transaction(() => {
      this.#pin(link);
      tables.settings.set(done, { room_id: link.room_id, agent_id });
    });
    return true;
  }

  onAnswer(event: IncomingEvent): void {
    const parsed = parseContent(EventTypes.inviteAnswer, event.content);
    if (event.kind !== "to_device" || !parsed.ok) return;
    const asked = this.#asked.get(parsed.value.invite_id);
    if (!asked || event.sender !== asked.link.user_id) return;
    const verdict = parseInviteVerdict(unseal(parsed.value, asked.link.box_key, asked.key));
    const { invite_id, room_id } = asked.link;
    if (verdict?.invite_id === invite_id && verdict.room_id === room_id) asked.answered.resolve(verdict);
  }

  async #ask({ link, agent_id, wait_ms, signal }: Redeeming): Promise<InviteVerdict> {
    const { identity, session, now } = this.#parts;
    const { invite_id, secret, room_id } = link;
    const asked: Asked = { link, key: newBoxKey(), answered: Promise.withResolvers() };
    const claim = identity.sign(room_id, EventTypes.inviteProof, {
      invite_id,
      secret,
      agent_id,
      public_key: encodePublicKey(identity.key.publicKey),
      created_at: formatTime(now()),
    });
    const proof = {
      invite_id,
      sender_key: asked.key.public_key,
      ...seal(claim, link.box_key, asked.key),
    };
    const gone = Promise.withResolvers<never>();
    const leave = () => gone.reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    this.#asked.set(invite_id, asked);
    try {
      for (let waited = 0; waited < wait_ms; waited += AGAIN_MS) {
        signal.throwIfAborted();
        await session.sendSealed(link.user_id, "*", EventTypes.inviteProof, proof);
        const answer = await Promise.race([
          asked.answered.promise,
          gone.promise,
          later(Math.min(AGAIN_MS, wait_ms - waited)),
        ]);
        if (answer) return answer;
      }
    } finally {
      signal.removeEventListener("abort", leave);
      if (this.#asked.get(invite_id) === asked) this.#asked.delete(invite_id);
    }
    throw mxError(
      "MX_NO_ANSWER",
      { agent: link.agent_id, room: room_id, seconds: wait_ms / 1000 },
      {
        hint: `its daemon has to run, and to know this invitation: \`mx-agent daemon status\` and \`mx-agent invite list\` there; then join again here, the link stays good`,
      },
    );
  }

  #pin(link: InviteLink): void {
    const { tables, audit, now } = this.#parts;
    const key = decodePublicKey(link.public_key) ?? new Uint8Array();
    const { room_id, agent_id, user_id, public_key } = link;
    const entry = { room_id, agent_id, user_id, fingerprint: fingerprintOf(key) };
    audit.trust("approved", entry);
    tables.trust.approve({
      ...entry,
      key_id: keyIdOf(key),
      public_key,
      legacy: false,
      approved_at: new Date(now()).toISOString(),
      expires_at: null,
    });
  }

  /** A link never takes the place of a key that was approved for that name before. */
  #checkOtherKey({ room_id, agent_id, public_key }: InviteLink): void {
    const approved = this.#parts.tables.trust.current(room_id, agent_id);
    if (approved === undefined || approved.public_key === public_key) return;
    throw mxError("MX_BAD_INPUT", {
      detail: `another key is approved for ${agent_id} in that room: ${approved.fingerprint}`,
      hint: `compare by another way; if the new one is right: mx-agent trust revoke ${typed(agent_id, "AGENT")} --room ${typed(room_id, "ROOM")}`,
    });
  }

  /** Server names are unique in the world, but for those of a single host: there the address has to be the same. */
  #checkServer(link: InviteLink): void {
    const { user_id, homeserver } = this.#parts.identity.account;
    const [mine, theirs] = [serverOf(user_id), serverOf(link.user_id)];
    const local = (name: string) => !name.includes(".") || /(^|\.)(localhost|local)(:\d+)?$/.test(name);
    if ((!local(theirs) && !local(mine)) || (mine === theirs && homeserver === link.homeserver)) return;
    throw mxError("MX_BAD_INPUT", {
      detail: `this machine is logged in at ${homeserver} as ${user_id}; the link is for ${link.homeserver}, which ${mine === theirs ? "is another server of that name" : "does not federate"}`,
      hint: "log out first (`mx-agent auth logout`), or join from a home of its own: MX_AGENT_HOME=DIRECTORY",
    });
  }
}

const serverOf = (user_id: string) => user_id.slice(user_id.indexOf(":") + 1);

function later(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms).unref());
}

const texts: Readonly<Record<InviteRefusal, { detail: string; hint(agent: string): string }>> = {
  expired: { detail: "the invitation has expired", hint: (agent) => another(agent) },
  revoked: { detail: "the invitation was revoked", hint: (agent) => another(agent) },
  used: { detail: "the invitation was used already", hint: (agent) => another(agent) },
  name_taken: {
    detail: "an agent of that name is in the workspace already",
    hint: () => "choose another one: join again with --agent NAME; the link stays good",
  },
  same_user: {
    detail: "this is the inviter's own account",
    hint: () => "each machine needs an account of its own: `mx-agent auth logout`, then join again",
  },
};

const another = (agent: string) => `ask for another link; on ${agent}'s machine: \`mx-agent invite create\``;

function refused(link: InviteLink, reason: InviteRefusal, agent_id: string) {
  const { detail, hint } = texts[reason];
  return mxError(
    "MX_INVITE_REFUSED",
    { agent: link.agent_id, reason, detail: reason === "name_taken" ? `${detail}: ${agent_id}` : detail },
    { hint: hint(link.agent_id), origin: "remote" },
  );
}

import { setTimeout as sleep } from "node:timers/promises";
import { AGENT_POWER_LEVEL, EventTypes, type InviteRefusal, type InviteVerdict } from "@mx-agent/protocol";
import { describe } from "../matrix/types.ts";
import type { Invite, Redemption } from "../state/invites.ts";
import type { InviteParts } from "./invites.ts";
import { boxKeyOf, seal } from "./seal.ts";

/** Whom an answer goes to, and the key that it is sealed to. */
export interface Reply {
  user_id: string;
  device_id: string;
  reply_key: string;
}

/** How long a changed power level may take to come back by /sync, milliseconds. */
const SHOWN_WITHIN_MS = 10_000;
const LOOK_MS = 20;

/**
 * Lets those in who were counted: power, invitation, answer; one after another, because power levels are
 * written as a whole. Each step is left out where it is done, so that it can be gone through again.
 */
export class Admissions {
  readonly #parts: InviteParts;
  readonly #closed = new AbortController();
  #queue: Promise<void> = Promise.resolve();

  constructor(parts: InviteParts) {
    this.#parts = parts;
  }

  resume(): void {
    for (const redemption of this.#parts.tables.invites.redemptions(null)) this.admit(redemption, redemption);
  }

  admit(redemption: Redemption, reply: Reply): void {
    this.#then(redemption, async () => {
      const invite = this.#parts.tables.invites.get(redemption.invite_id);
      if (!invite) return;
      await this.#letIn(invite, redemption);
      this.#parts.tables.invites.setDone(redemption);
      await this.#answer(invite, reply, null);
    });
  }

  refuse(invite: Invite, reply: Reply, refusal: InviteRefusal): void {
    this.#then(invite, () => this.#answer(invite, reply, refusal));
  }

  /** Resolves when what is under way has ended; what is left waits for the next start. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#queue;
  }

  /** What fails is asked for again by the guest, or taken up at the next start. */
  #then({ invite_id }: { invite_id: string }, work: () => Promise<void>): void {
    this.#queue = this.#queue
      .then(() => (this.#closed.signal.aborted ? undefined : work()))
      .catch((error: unknown) =>
        this.#parts.logger.error({ invite_id, error: describe(error) }, "a guest could not be let in yet"),
      );
  }

  async #letIn({ room_id, role }: Invite, { user_id }: Redemption): Promise<void> {
    const { session } = this.#parts;
    await session.ready();
    if (role === "agent" && (await this.#power(room_id, user_id)) < AGENT_POWER_LEVEL) {
      await session.setPowerLevel(room_id, user_id, AGENT_POWER_LEVEL);
      for (let waited = 0; waited < SHOWN_WITHIN_MS; waited += LOOK_MS) {
        if ((await this.#power(room_id, user_id)) >= AGENT_POWER_LEVEL) break;
        await sleep(LOOK_MS, undefined, { signal: this.#closed.signal });
      }
    }
    const known = (await session.rooms.members(room_id)).find((member) => member.user_id === user_id);
    if (known?.membership !== "join" && known?.membership !== "invite")
      await session.invite(room_id, user_id);
  }

  /** Of the levels that are set by name: a guest has no other before he is in. */
  async #power(room_id: string, user_id: string): Promise<number> {
    const content = this.#parts.session.rooms.stateEvent(room_id, "m.room.power_levels", "")?.content;
    const { users }: { users?: unknown } = typeof content === "object" && content !== null ? content : {};
    const level: unknown = typeof users === "object" && users !== null ? Reflect.get(users, user_id) : 0;
    return typeof level === "number" ? level : 0;
  }

  async #answer(invite: Invite, reply: Reply, refusal: InviteRefusal | null): Promise<void> {
    const { invite_id, room_id } = invite;
    const verdict: InviteVerdict = { invite_id, room_id, refusal };
    const key = boxKeyOf(Buffer.from(invite.box_secret, "base64"));
    await this.#parts.session.sendSealed(reply.user_id, reply.device_id, EventTypes.inviteAnswer, {
      invite_id,
      ...seal(verdict, reply.reply_key, key),
    });
  }
}

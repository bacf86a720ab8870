/** A host with a workspace, and guests with links: real parts on real databases; the homeserver between them is a list. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateSigningKey, type InviteLink, readInviteLink } from "@mx-agent/protocol";
import pino from "pino";
import { Auditor } from "../../../src/audit-entries.ts";
import { Identity } from "../../../src/identity.ts";
import { Guest } from "../../../src/invite/guest.ts";
import { Invites } from "../../../src/invite/invites.ts";
import type { IncomingEvent, MatrixSession, RoomMember } from "../../../src/matrix/api.ts";
import { Database } from "../../../src/state/database.ts";
import { migrations } from "../../../src/state/schema.ts";
import { openTables } from "../../../src/state/tables.ts";
import { Workspaces } from "../../../src/workspace/workspaces.ts";

export const ROOM = "!farm:example.org";

/** The homeserver: who is in the room, what power they have, and messages on their way. */
export class House {
  now = Date.UTC(2030, 0, 1);
  readonly dir = mkdtempSync(join(tmpdir(), "mx-invite-"));
  readonly members = new Map<string, RoomMember["membership"]>();
  readonly powers = new Map<string, number>();
  /** Who put somebody out of the room. */
  readonly putOut = new Map<string, string>();
  readonly sent: { from: string; to: string; type: string; content: object }[] = [];
  readonly #receivers = new Map<string, (event: IncomingEvent) => void>();
  readonly #open: Database[] = [];
  #made = 0;

  /** A daemon of that user; `again` opens the same state as before, as after a restart. */
  daemon(name: string, file = `${name}-${++this.#made}`) {
    const user_id = `@${name}:example.org`;
    const db = new Database({ file: join(this.dir, `${file}.db`), migrations, version: "0" });
    this.#open.push(db);
    const tables = openTables(db, () => this.now);
    const identity = new Identity(keyOf(name), {
      user_id,
      device_id: name.toUpperCase(),
      homeserver: "https://matrix.example.org",
    });
    const lines: unknown[] = [];
    const audit = new Auditor({ appendMany: (entries) => lines.push(...entries) });
    const parts = {
      ...{ tables, identity, audit, session: this.#session(user_id), now: () => this.now },
      logger: pino({ level: "silent" }),
    };
    const invites = new Invites(parts);
    const guest = new Guest({
      ...parts,
      workspaces: new Workspaces(parts.session, tables.settings, () => "all"),
    });
    const receive = (event: IncomingEvent) =>
      event.type.endsWith("proof.v1") ? invites.onProof(event) : guest.onAnswer(event);
    this.#receivers.set(user_id, receive);
    return { user_id, tables, identity, invites, guest, audit: lines, receive, file, db };
  }

  /** As the process's end: what was under way is not, and its state is closed. */
  end({ invites, db }: Inhabitant): void {
    void invites.close();
    this.#open.splice(this.#open.indexOf(db), 1);
    db.close();
  }

  /** Messages to that user reach this daemon; by default the one that was started last. */
  deliverTo({ user_id, receive }: Inhabitant): void {
    this.#receivers.set(user_id, receive);
  }

  close(): void {
    for (const db of this.#open.splice(0)) db.close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  #session(user_id: string): MatrixSession {
    const state = () => ({ users: Object.fromEntries(this.powers) });
    const room = () => ({
      ...{ room_id: ROOM, name: "farm", alias: null, encrypted: true, inviter: null },
      membership: this.members.get(user_id) === "join" ? ("join" as const) : ("leave" as const),
    });
    const session: Partial<MatrixSession> = {
      ready: async () => {},
      async join() {
        if (house.members.get(user_id) !== "invite") throw new Error("not invited");
        house.members.set(user_id, "join");
        return ROOM;
      },
      async invite(_, user) {
        house.members.set(user, "invite");
      },
      async setPowerLevel(_, user, level) {
        house.powers.set(user, level);
      },
      async sendSealed(to, _device, type, content) {
        house.sent.push({ from: user_id, to, type, content });
        house.#receivers.get(to)?.(eventOf(user_id, type, content));
      },
      rooms: {
        list: () => [room()],
        get: () => room(),
        resolve: async () => room(),
        members: async () =>
          [...this.members].map(([member, membership]) => ({
            ...{ user_id: member, membership, display_name: null },
            power_level: this.powers.get(member) ?? 0,
          })),
        isJoined: (_, user) => this.members.get(user) === "join",
        state: () => [],
        stateEvent: (_, type, state_key) => {
          const event = { event_id: "$e", sender: "", type, state_key, origin_server_ts: 0 };
          if (type === "m.room.power_levels") return { ...event, content: state() };
          const membership = this.members.get(state_key);
          if (type !== "m.room.member" || membership === undefined) return undefined;
          return { ...event, sender: this.putOut.get(state_key) ?? state_key, content: { membership } };
        },
      },
    };
    const house = this;
    return session as MatrixSession;
  }
}

export type Inhabitant = ReturnType<House["daemon"]>;

const keys = new Map<string, ReturnType<typeof generateSigningKey>>();
function keyOf(name: string) {
  const key = keys.get(name) ?? generateSigningKey();
  keys.set(name, key);
  return key;
}

export const eventOf = (sender: string, type: string, content: unknown): IncomingEvent => ({
  ...{ kind: "to_device", inbox_id: 1, room_id: null, event_id: null, sender, type, content },
  ...{ origin_server_ts: null, backfilled: false, transport: { encrypted: false }, received_ts: 0 },
});

/** The operator of a workspace, with an agent in it. */
export function hostOf(house: House, file?: string): Inhabitant {
  const host = house.daemon("laptop", file);
  house.members.set(host.user_id, "join");
  house.powers.set(host.user_id, 100);
  host.tables.ownAgents.put(
    { room_id: ROOM, agent_id: "laptop", kind: "test", cwd: "", capabilities: [], state_rev: 1 },
    house.now,
  );
  return host;
}

export async function linkFrom(
  host: Inhabitant,
  options: { uses?: number; expires_ms?: number; role?: "agent" | "member" } = {},
): Promise<InviteLink> {
  const { uses = 1, expires_ms = 3_600_000, role = "agent" } = options;
  const made = await host.invites.create({
    ...{ room: ROOM, role, uses, expires_ms, homeserver: null, registration_token: null },
  });
  const read = readInviteLink(made.link);
  if (!read.ok) throw new Error(read.detail);
  return read.link;
}

/** How it ended for the guest: `let in`, `nothing to do`, or the reason of the refusal. */
export async function use(guest: Inhabitant, link: InviteLink, agent_id = "builder"): Promise<string> {
  const signal = new AbortController().signal;
  try {
    const changed = await guest.guest.redeem({ link, agent_id, encrypted: true, wait_ms: 200, signal });
    return changed ? "let in" : "nothing to do";
  } catch (error) {
    const { code, details }: { code?: unknown; details?: { reason?: unknown } } = Object(error);
    return String(details?.reason ?? code ?? error);
  }
}

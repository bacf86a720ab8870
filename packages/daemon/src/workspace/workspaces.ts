import { setTimeout as pause } from "node:timers/promises";
import { mxError, shellWord } from "@mx-agent/base";
import type { KeysTo, MemberInfo, WorkspaceInfo } from "@mx-agent/ipc";
import { EventTypes, parseContent, statePowerLevels, workspacePowerLevels } from "@mx-agent/protocol";
import type { MatrixSession, RoomInfo } from "../matrix/api.ts";
import type { Settings } from "../state/settings.ts";

const POWER_LEVELS = "m.room.power_levels";

/** Set where somebody on this machine said --no-e2ee. */
const plainKey = (room_id: string) => `rooms.plain.${room_id}`;

/** How long the rest of a new room may take to come by /sync, and how often we look. */
const WHOLE_WITHIN_MS = 10_000;
const LOOK_MS = 20;

/** Workspaces: rooms with our power levels. Everything here asks the homeserver; membership is never permission. */
export class Workspaces {
  readonly #session: MatrixSession;
  readonly #settings: Settings;
  readonly #keysTo: (room_id: string) => KeysTo;

  /** `keysTo`: which devices get the keys of an encrypted room. */
  constructor(session: MatrixSession, settings: Settings, keysTo: (room_id: string) => KeysTo) {
    this.#session = session;
    this.#settings = settings;
    this.#keysTo = keysTo;
  }

  async create(options: {
    name: string;
    alias: string | null;
    invite: string[];
    encrypted: boolean;
  }): Promise<WorkspaceInfo> {
    const room_id = await this.#session.createRoom({
      ...options,
      initial_state: [],
      power_level_content_override: workspacePowerLevels(),
    });
    if (!options.encrypted) this.#settings.set(plainKey(room_id), true);
    return this.#whole(room_id, options.name);
  }

  async list(): Promise<WorkspaceInfo[]> {
    const rooms = this.#session.rooms.list().filter((room) => room.membership !== "leave");
    return Promise.all(rooms.map((room) => this.#info(room)));
  }

  async info(name: string): Promise<WorkspaceInfo> {
    return this.#info(await this.#session.rooms.resolve(name));
  }

  async join(room: string, encrypted: boolean, via: string[]): Promise<WorkspaceInfo> {
    const known = this.#session.rooms.get(room);
    const room_id = await this.#session.join(room, via);
    const joined = await this.info(room_id);
    if (encrypted && !joined.encrypted) {
      // Whether a room is encrypted is known for sure only from inside of it.
      if (known?.membership !== "join") await this.#session.leave(room_id);
      throw mxError("MX_BAD_INPUT", {
        detail: `${joined.name ?? room_id} is not encrypted; it was not joined`,
        hint: "join it all the same with --no-e2ee",
      });
    }
    if (!joined.encrypted) this.#settings.set(plainKey(room_id), true);
    return joined;
  }

  /**
   * MX_BAD_INPUT for a room that is not encrypted, as far as we see, and that nobody made or joined so on this
   * machine: a homeserver that hides the encryption from a new machine gets no plain text by that.
   */
  requireAgreed(room_id: string): void {
    const room = this.#session.rooms.get(room_id);
    if (!room || room.encrypted || this.#settings.get(plainKey(room_id)) === true) return;
    throw mxError("MX_BAD_INPUT", {
      detail: `${room.name ?? room_id} is not encrypted, and nobody on this machine has agreed to that`,
      hint: `\`mx-agent workspace join ${shellWord(room_id)} --no-e2ee\` agrees, for good`,
    });
  }

  /** Joins a room that we were invited to. MX_NOT_FOUND where there is no invitation. */
  async accept(name: string, encrypted: boolean): Promise<WorkspaceInfo> {
    const room = await this.#session.rooms.resolve(name);
    if (room.membership !== "invite")
      throw mxError("MX_NOT_FOUND", {
        what: "invitation to",
        name,
        hint: "`mx-agent workspace list` shows invitations",
      });
    const server = room.inviter?.split(":").slice(1).join(":");
    return this.join(room.room_id, encrypted, server ? [server] : []);
  }

  async members(name: string): Promise<MemberInfo[]> {
    const { rooms } = this.#session;
    const { room_id } = await rooms.resolve(name);
    const agents = rooms.state(room_id, EventTypes.agent).flatMap((event) => {
      const parsed = parseContent(EventTypes.agent, event.content);
      return parsed.ok ? [parsed.value] : [];
    });
    return (await rooms.members(room_id)).map((member) => ({
      ...member,
      agents: agents
        .filter((agent) => agent.matrix_user_id === member.user_id)
        .map((agent) => agent.agent_id),
    }));
  }

  /** Adds those of our state types that came after the room was made to its power levels. */
  async upgrade(name: string): Promise<{ room_id: string; added: string[] }> {
    const { rooms } = this.#session;
    const { room_id } = await rooms.resolve(name);
    const levels = rooms.stateEvent(room_id, POWER_LEVELS, "")?.content;
    const content: { events?: unknown } = typeof levels === "object" && levels !== null ? levels : {};
    const events: Record<string, unknown> =
      typeof content.events === "object" && content.events !== null ? { ...content.events } : {};
    const added = Object.entries(statePowerLevels).filter(([type]) => !Object.hasOwn(events, type));
    if (added.length > 0)
      await this.#session.setState(room_id, POWER_LEVELS, "", {
        ...content,
        events: { ...events, ...Object.fromEntries(added) },
      });
    return { room_id, added: added.map(([type]) => type) };
  }

  /**
   * A room that was just made, when all of it has come. A homeserver may show it, with its creator in it,
   * while it is still being made: its name is what comes last of what we read.
   */
  async #whole(room_id: string, name: string): Promise<WorkspaceInfo> {
    let info = await this.info(room_id);
    for (let waited = 0; info.name !== name && waited < WHOLE_WITHIN_MS; waited += LOOK_MS) {
      await pause(LOOK_MS);
      info = await this.info(room_id);
    }
    return info;
  }

  async #info(room: RoomInfo): Promise<WorkspaceInfo> {
    const { rooms } = this.#session;
    const state = rooms.stateEvent(room.room_id, EventTypes.workspace, "");
    const parsed = state && parseContent(EventTypes.workspace, state.content);
    const members = room.membership === "join" ? await rooms.members(room.room_id) : null;
    return {
      ...room,
      keys_to: room.encrypted ? this.#keysTo(room.room_id) : null,
      member_count: members?.filter((member) => member.membership === "join").length ?? null,
      project_id: parsed?.ok ? parsed.value.project_id : null,
    };
  }
}

import { randomUUID } from "node:crypto";
import { mxError } from "@mx-agent/base";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { Method } from "matrix-js-sdk/lib/http-api/method.js";
import type { RoomTable } from "../state/rooms.ts";
import type { CreateRoom } from "./api.ts";
import type { Changes } from "./changes.ts";
import { refusalOf, toHomeserverError } from "./homeserver-error.ts";
import { type Clock, isRecord } from "./types.ts";

export interface RoomActionsOptions {
  client: MatrixClient;
  table: RoomTable;
  user_id: string;
  homeserver: string;
  clock: Clock;
  /** Announced after each committed sync. */
  changes: Changes;
  ready: () => Promise<void>;
  signal: AbortSignal;
}

/** How long a new room may take to come by /sync, milliseconds. */
const ARRIVAL_MS = 60_000;
/**
 * How long one session encrypts what a machine sends. Machines send two events for each run: the hundred messages
 * that people's rooms have would share keys with every device after fifty runs.
 */
const ROTATION_MS = 24 * 3_600_000;
const ROTATION_MESSAGES = 1_000;
const FIRST_VERSION_WITH_CREATORS = 12;

/** What this account does with rooms at once, by request and answer; it waits for neither inbox nor outbox. */
export class RoomActions {
  readonly #options: RoomActionsOptions;

  constructor(options: RoomActionsOptions) {
    this.#options = options;
  }

  /** Makes a private room and resolves to its id when the room has come by /sync. */
  async create(options: CreateRoom): Promise<string> {
    await this.#options.ready();
    const encryption = {
      type: "m.room.encryption",
      state_key: "",
      content: {
        algorithm: "m.megolm.v1.aes-sha2",
        rotation_period_ms: ROTATION_MS,
        rotation_period_msgs: ROTATION_MESSAGES,
      },
    };
    const answer = await this.#request(Method.Post, "/createRoom", {
      preset: "private_chat",
      visibility: "private",
      name: options.name,
      ...(options.alias !== null && { room_alias_name: localPart(options.alias) }),
      invite: options.invite,
      initial_state: options.encrypted ? [encryption, ...options.initial_state] : options.initial_state,
      power_level_content_override: await this.#powerLevels(options.power_level_content_override),
    });
    const room_id = this.#text(answer, "room_id");
    if (options.encrypted) {
      this.#options.table.rememberEncrypted(room_id, encryption.content, this.#options.clock());
    }
    await this.#arrival(room_id);
    return room_id;
  }

  /** Joins by id or alias, and resolves to the id when the room has come by /sync. */
  async join(room: string, via: string[]): Promise<string> {
    await this.#options.ready();
    const answer = await this.#request(
      Method.Post,
      `/join/${encodeURIComponent(room)}`,
      {},
      { server_name: via, via },
    );
    const room_id = this.#text(answer, "room_id");
    await this.#arrival(room_id);
    return room_id;
  }

  async invite(room_id: string, user_id: string): Promise<void> {
    await this.#request(Method.Post, `/rooms/${encodeURIComponent(room_id)}/invite`, { user_id });
  }

  async remove(room_id: string, user_id: string): Promise<void> {
    await this.#request(Method.Post, `/rooms/${encodeURIComponent(room_id)}/kick`, { user_id });
  }

  async leave(room_id: string): Promise<void> {
    await this.#request(Method.Post, `/rooms/${encodeURIComponent(room_id)}/leave`, {});
  }

  /** To-device, as it is: what is sealed by itself needs no Olm session, and there may be no common room. */
  async sendSealed(user_id: string, device_id: string, type: string, content: object): Promise<void> {
    await this.#options.ready();
    const path = `/sendToDevice/${encodeURIComponent(type)}/${randomUUID()}`;
    await this.#request(Method.Put, path, { messages: { [user_id]: { [device_id]: content } } });
  }

  async setPowerLevel(room_id: string, user_id: string, level: number): Promise<void> {
    const current = this.#options.table.stateEvent(room_id, "m.room.power_levels", "")?.content;
    if (!isRecord(current)) {
      throw mxError("MX_NOT_FOUND", { what: "room with power levels", name: room_id, hint: "join it first" });
    }
    const users = { ...(isRecord(current.users) ? current.users : {}), [user_id]: level };
    await this.setState(room_id, "m.room.power_levels", "", { ...current, users });
  }

  /** Writes a state event and resolves to its id. */
  async setState(room_id: string, type: string, state_key: string, content: object): Promise<string> {
    const path = `/rooms/${encodeURIComponent(room_id)}/state/${encodeURIComponent(type)}/${encodeURIComponent(state_key)}`;
    return this.#text(await this.#request(Method.Put, path, content), "event_id");
  }

  /** The room that an alias means; undefined when the homeserver knows none. */
  async lookUpAlias(alias: string): Promise<string | undefined> {
    const path = `/directory/room/${encodeURIComponent(alias)}`;
    try {
      const answer = await this.#options.client.http.authedRequest<unknown>(Method.Get, path);
      return this.#text(answer, "room_id");
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal?.status === 404 || refusal?.status === 400) return undefined;
      throw toHomeserverError(error, this.#options.homeserver);
    }
  }

  /** From room version 12 on creators stand above all levels, and must not be listed. */
  async #powerLevels(override: object): Promise<object> {
    const { users, ...rest }: { users?: unknown } = override;
    const { user_id } = this.#options;
    if (!isRecord(users) || !Object.hasOwn(users, user_id)) return override;
    const answer = await this.#request(Method.Get, "/capabilities");
    const capabilities = isRecord(answer) && isRecord(answer.capabilities) ? answer.capabilities : {};
    const versions = capabilities["m.room_versions"];
    const version = isRecord(versions) ? Number(versions.default) : Number.NaN;
    if (!(version >= FIRST_VERSION_WITH_CREATORS)) return override;
    const others = Object.fromEntries(Object.entries(users).filter(([user]) => user !== user_id));
    return { ...rest, users: others };
  }

  async #arrival(room_id: string): Promise<void> {
    const { table, changes, signal, clock, homeserver } = this.#options;
    const deadline = clock() + ARRIVAL_MS;
    while (table.get(room_id)?.membership !== "join") {
      const left = deadline - clock();
      if (left <= 0) {
        const detail = `the room ${room_id} did not come by /sync`;
        throw mxError("MX_HOMESERVER_UNREACHABLE", { url: homeserver, detail });
      }
      await changes.next(signal, left);
    }
  }

  async #request(
    method: Method,
    path: string,
    body?: object,
    query: Record<string, string[]> = {},
  ): Promise<unknown> {
    try {
      return await this.#options.client.http.authedRequest<unknown>(method, path, query, body && { ...body });
    } catch (error) {
      throw toHomeserverError(error, this.#options.homeserver);
    }
  }

  #text(answer: unknown, key: string): string {
    const value = isRecord(answer) ? answer[key] : undefined;
    if (typeof value === "string") return value;
    throw mxError("MX_NOT_A_HOMESERVER", {
      url: this.#options.homeserver,
      detail: `an answer has no ${key}`,
    });
  }
}

/** Of `#name:server`, or a bare name. */
function localPart(alias: string): string {
  const name = alias.startsWith("#") ? alias.slice(1) : alias;
  return name.split(":")[0] ?? name;
}

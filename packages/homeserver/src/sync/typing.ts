/** Who is typing where. In memory: a restart ends all typing. */
export class Typing {
  readonly #rooms = new Map<string, { users: Map<string, NodeJS.Timeout>; pos: number }>();
  readonly #nextPosition: () => number;
  readonly #changed: (roomId: string) => void;

  constructor(nextPosition: () => number, changed: (roomId: string) => void) {
    this.#nextPosition = nextPosition;
    this.#changed = changed;
  }

  /** Sets or ends typing; it ends by itself after `ms`. */
  set(roomId: string, userId: string, typing: boolean, ms: number): void {
    const room = this.#rooms.get(roomId);
    const timer = room?.users.get(userId);
    if (!typing && timer === undefined) return;
    clearTimeout(timer);
    const users = room?.users ?? new Map<string, NodeJS.Timeout>();
    if (typing) users.set(userId, setTimeout(() => this.set(roomId, userId, false, 0), ms).unref());
    else users.delete(userId);
    if (typing && timer !== undefined) return;
    this.#rooms.set(roomId, { users, pos: this.#nextPosition() });
    this.#changed(roomId);
  }

  /** Who types in the room, if that changed after a position. */
  since(roomId: string, after: number): string[] | undefined {
    const room = this.#rooms.get(roomId);
    return room !== undefined && room.pos > after ? [...room.users.keys()] : undefined;
  }

  stop(): void {
    for (const room of this.#rooms.values()) for (const timer of room.users.values()) clearTimeout(timer);
    this.#rooms.clear();
  }
}

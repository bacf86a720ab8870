/** What a round trip takes at the least: its requests, its disk and its process, and nothing of ours. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestHomeserver } from "../../../scripts/homeservers.ts";
import { type User, userOf } from "../../homeserver/bench/side.ts";

/**
 * Durable commits that follow one another in an exec: the request's record; at the executing side the event, the
 * audit line, `starting`, the runner's mark and end record, the outcome's audit line and the outcome.
 */
const COMMITS = 8;

export class Floor implements Disposable {
  readonly #asking: User;
  readonly #executing: User;
  readonly #room: string;
  readonly #dir: string;
  readonly #db: DatabaseSync;

  readonly #spawn: () => Promise<void>;

  private constructor(asking: User, executing: User, room: string, spawn: () => Promise<void>) {
    this.#spawn = spawn;
    this.#asking = asking;
    this.#executing = executing;
    this.#room = room;
    this.#dir = mkdtempSync(join(tmpdir(), "mx-floor-"));
    this.#db = new DatabaseSync(join(this.#dir, "floor.db"));
    this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    this.#db.exec("CREATE TABLE commits (id INTEGER PRIMARY KEY, content TEXT)");
  }

  /** `spawn` runs a process to its end, as what is measured runs it. */
  static async on(homeserver: TestHomeserver, spawn: () => Promise<void>): Promise<Floor> {
    const name = () => `floor-${randomBytes(4).toString("hex")}`;
    const [asking, executing] = [await userOf(homeserver, name()), await userOf(homeserver, name())];
    const room = await asking.room("public_chat", executing);
    for (const user of [asking, executing]) await user.catchUp();
    return new Floor(asking, executing, room, spawn);
  }

  /** The request as an event, the outcome as a to-device message, the commits and the process, in milliseconds. */
  async roundTrip(): Promise<number> {
    const start = performance.now();
    await this.sendToSync();
    const insert = this.#db.prepare("INSERT INTO commits (content) VALUES (?)");
    for (let n = 0; n < COMMITS; n++) insert.run("x".repeat(1_500));
    await this.#spawn();
    await this.toDeviceToSync();
    return performance.now() - start;
  }

  /** From the start of the request until the other side's /sync has brought the event. */
  async sendToSync(): Promise<number> {
    const start = performance.now();
    const text = randomBytes(600).toString("hex");
    await Promise.all([this.#executing.hear(text), this.#asking.send(this.#room, text)]);
    return performance.now() - start;
  }

  async toDeviceToSync(): Promise<number> {
    const start = performance.now();
    const text = randomBytes(600).toString("hex");
    await Promise.all([this.#asking.hear(text), this.#executing.sendToDevice(this.#asking, { text })]);
    return performance.now() - start;
  }

  [Symbol.dispose](): void {
    this.#db.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** Two bare SDK clients, keys in memory, in an encrypted room of their own. */
import { randomBytes } from "node:crypto";
import { ClientEvent, type MatrixClient } from "matrix-js-sdk/lib/client.js";
import { createClient } from "matrix-js-sdk/lib/matrix.js";
import { type MatrixEvent, MatrixEventEvent } from "matrix-js-sdk/lib/models/event.js";
import { eventually } from "../../../scripts/eventually.ts";
import type { TestHomeserver } from "../../../scripts/homeservers.ts";

const TYPE = "com.example.bench";

export class BarePair implements Disposable {
  readonly #clients: readonly [MatrixClient, MatrixClient];
  readonly #room: string;

  private constructor(clients: readonly [MatrixClient, MatrixClient], room: string) {
    this.#clients = clients;
    this.#room = room;
  }

  static async on(homeserver: TestHomeserver): Promise<BarePair> {
    const [asking, executing] = [await clientOn(homeserver), await clientOn(homeserver)];
    const { room_id } = await asking.createRoom({
      invite: [executing.getSafeUserId()],
      initial_state: [
        {
          type: "m.room.encryption",
          state_key: "",
          content: { algorithm: "m.megolm.v1.aes-sha2" },
        },
      ],
    });
    await eventually(() => executing.getRoom(room_id) !== null);
    await executing.joinRoom(room_id);
    const bothThere = (client: MatrixClient) => client.getRoom(room_id)?.getJoinedMemberCount() === 2;
    await eventually(() => bothThere(asking) && bothThere(executing));
    return new BarePair([asking, executing], room_id);
  }

  /** There and back: each encrypted and sent until the other has decrypted it. Milliseconds. */
  async roundTrip(): Promise<number> {
    const [asking, executing] = this.#clients;
    const start = performance.now();
    await this.#trip(asking, executing);
    await this.#trip(executing, asking);
    return performance.now() - start;
  }

  async #trip(from: MatrixClient, to: MatrixClient): Promise<void> {
    const text = randomBytes(600).toString("hex");
    const heard = new Promise<void>((resolve) => {
      const seen = (event: MatrixEvent) => {
        if (event.getContent().text !== text) return;
        to.off(MatrixEventEvent.Decrypted, seen);
        resolve();
      };
      to.on(MatrixEventEvent.Decrypted, seen);
    });
    await Promise.all([heard, Reflect.apply(from.sendEvent, from, [this.#room, TYPE, { text }])]);
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.stopClient();
  }
}

async function clientOn(homeserver: TestHomeserver): Promise<MatrixClient> {
  const [user, password] = [`bare-${randomBytes(4).toString("hex")}`, "a password for the bench"];
  await homeserver.registerUser(user, password);
  const { user_id, device_id, access_token } = await createClient({ baseUrl: homeserver.url }).loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user },
    password,
  });
  const client = createClient({
    ...{ baseUrl: homeserver.url, userId: user_id, deviceId: device_id, accessToken: access_token },
  });
  await client.initRustCrypto({ useIndexedDB: false });
  // Decrypted where it stands in the timeline, as a client would.
  client.on(ClientEvent.Event, (event) => void client.decryptEventIfNeeded(event));
  await client.startClient({ initialSyncLimit: 20, disablePresence: true });
  await eventually(() => client.isInitialSyncComplete());
  return client;
}

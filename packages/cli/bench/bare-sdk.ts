/** A Matrix client of nothing but the SDK, its keys in memory: what a daemon is measured against. */
import { createClient } from "matrix-js-sdk/lib/matrix.js";

const settings: { url: string; user: string; password: string; room: string } = JSON.parse(
  process.argv[2] ?? "{}",
);
// It logs each request, which is no part of what it needs.
for (const level of ["trace", "debug", "info", "log", "warn"] as const) console[level] = () => {};

const { user_id, device_id, access_token } = await createClient({ baseUrl: settings.url }).loginRequest({
  type: "m.login.password",
  identifier: { type: "m.id.user", user: settings.user },
  password: settings.password,
});
const client = createClient({
  baseUrl: settings.url,
  userId: user_id,
  deviceId: device_id,
  accessToken: access_token,
});
await client.initRustCrypto({ useIndexedDB: false });
await client.startClient({ initialSyncLimit: 20, disablePresence: true });
while (!client.getRoom(settings.room) || !client.isInitialSyncComplete())
  await new Promise((resolve) => setTimeout(resolve, 20));
process.send?.("ready");

/**
 * The embedded homeserver as a process of its own, so that a test can kill it and start it again.
 *
 *   node scripts/embedded-homeserver-child.ts '{"dir":…,"port":…,"name":…,"defaultRateLimits":…,"registration":…}'
 *
 * It writes one JSON line when it answers (`{"url":…}`), and one for each line that it reads
 * (`{"id":…,"addUser":{"name":…,"password":…}}`): `{"id":…}` or `{"id":…,"error":…}`. It ends on SIGTERM and when
 * stdin ends.
 */
import { createInterface } from "node:readline";
import { type Registration, startHomeserver } from "@mx-agent/homeserver";

interface Options {
  dir: string;
  port: number;
  name: string;
  defaultRateLimits: boolean;
  registration: Registration;
}

interface Request {
  id: number;
  addUser: { name: string; password: string };
}

const options: Options = JSON.parse(process.argv[2] ?? "{}");
const homeserver = await startHomeserver({
  bind: { host: "127.0.0.1", port: options.port },
  dataDir: options.dir,
  name: options.name,
  registration: options.registration,
  ...(options.defaultRateLimits ? {} : { rateLimits: null }),
});
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

let closing: Promise<void> | undefined;
const end = async () => {
  closing ??= homeserver.close();
  await closing;
  process.exit(0);
};
process.on("SIGTERM", () => void end());

const lines = createInterface({ input: process.stdin });
lines.on("close", () => void end());
lines.on("line", (line) => void answer(JSON.parse(line)));

async function answer({ id, addUser }: Request): Promise<void> {
  try {
    await homeserver.addUser(addUser.name, addUser.password);
    say({ id });
  } catch (error) {
    say({ id, error: error instanceof Error ? error.message : String(error) });
  }
}

say({ url: homeserver.url });

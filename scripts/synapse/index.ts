import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Registration } from "@mx-agent/homeserver";
import { type FederationSettings, type OAuthSettings, secretsOf, writeConfig } from "./config.ts";
import { answering, freePort, type ServerProcess, spawnServer } from "./process.ts";
import { pythonVenv } from "./venv.ts";

export { VenvUnavailable } from "./venv.ts";
export const synapseVersion = "1.163.2";

const runner = fileURLToPath(new URL("run.py", import.meta.url));

export interface SynapseOptions {
  /** The limits that Synapse comes with (0.2 messages a second after 10), instead of practically none. */
  defaultRateLimits?: boolean;
  /** Where its data live; kept on close, and taken up again. By default a temporary one, removed on close. */
  dir?: string;
  /** Of 127.0.0.1; by default a free one. */
  port?: number;
  /** The server name, the part of a user id after the colon. By default `localhost`. */
  name?: string;
  /** Whether other servers reach it; by default none does. */
  federation?: FederationSettings;
  /** Who may make an account; by default everybody. */
  registration?: Registration;
  /** The base URL of a CAS server: single sign-on, and no passwords. */
  cas?: string;
  /** An OAuth 2.0 server that has the accounts; no passwords, and nobody is registered here. */
  oauth?: OAuthSettings;
}

export interface Synapse {
  readonly kind: "synapse";
  readonly url: string;
  readonly name: string;
  readonly registrationSharedSecret: string;
  /** Of the running process; another one after `restart`. */
  readonly pid: number;
  /** Makes a user without administrator's rights. An error when there is one of that name. */
  registerUser(name: string, password: string): Promise<void>;
  /** A token that lets so many make an account, where `registration` is `token`. */
  registrationToken(uses: number): Promise<string>;
  /** Sends the signal and waits until the process is gone; data and port stay for `restart`. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same data and port, after stopping it where it still runs. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** The Python that has Synapse. */
export const synapsePython = () => pythonVenv("synapse-venv", [`matrix-synapse==${synapseVersion}`]);

/**
 * Starts a real Synapse (SQLite, loopback) from a cached Python environment, which is made
 * on first use. It answers when this resolves, and it ends with this process, however that ends.
 *
 * @throws VenvUnavailable where Synapse can't be installed
 */
export async function startSynapse(options: SynapseOptions = {}): Promise<Synapse> {
  const python = await synapsePython();
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "mx-synapse-")));
  const name = options.name ?? "localhost";
  const secrets = secretsOf(dir);
  const port = options.port ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const config = writeConfig(
    {
      dir,
      name,
      port,
      defaultRateLimits: options.defaultRateLimits ?? false,
      federation: options.federation,
      registration: options.registration ?? "open",
      cas: options.cas,
      oauth: options.oauth,
    },
    secrets,
  );

  const launch = async (): Promise<ServerProcess> => {
    const server = await spawnServer(python, [runner, "-c", config], { cwd: dir });
    server.stdout.resume();
    await answering(`${url}/health`, server);
    return server;
  };
  let server: ServerProcess;
  try {
    server = await launch();
  } catch (error) {
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    throw error;
  }

  return {
    kind: "synapse",
    url,
    name,
    registrationSharedSecret: secrets.registrationSharedSecret,
    get pid() {
      return server.pid;
    },
    registerUser: async (user, password) => {
      await registerUser(url, secrets.registrationSharedSecret, user, password, false);
    },
    async registrationToken(uses) {
      const admin = `admin-${randomBytes(6).toString("hex")}`;
      const secret = randomBytes(12).toString("hex");
      const token = await registerUser(url, secrets.registrationSharedSecret, admin, secret, true);
      const answer: { token: string } = await json(
        await fetch(`${url}/_synapse/admin/v1/registration_tokens/new`, {
          method: "POST",
          headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
          body: JSON.stringify({ uses_allowed: uses }),
        }),
      );
      return answer.token;
    },
    kill: (signal) => server.kill(signal),
    async restart() {
      await server.stop();
      server = await launch();
    },
    async close() {
      await server.stop();
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Shared-secret registration: a nonce from the server, then its HMAC with the user's data. An access token. */
async function registerUser(
  url: string,
  secret: string,
  username: string,
  password: string,
  admin: boolean,
): Promise<string> {
  const endpoint = `${url}/_synapse/admin/v1/register`;
  const { nonce }: { nonce: string } = await json(await fetch(endpoint));
  const mac = createHmac("sha1", secret)
    .update([nonce, username, password, admin ? "admin" : "notadmin"].join("\0"))
    .digest("hex");
  const body = JSON.stringify({ nonce, username, password, admin, mac, inhibit_login: !admin });
  const { access_token = "" }: { access_token?: string } = await json(
    await fetch(endpoint, { method: "POST", body, headers: { "content-type": "application/json" } }),
  );
  return access_token;
}

async function json<T>(response: Response): Promise<T> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${text}`);
  return JSON.parse(text);
}

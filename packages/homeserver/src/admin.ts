import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { mxError } from "@mx-agent/base";
import { formatOf } from "@mx-agent/base/sqlite";
import { hashPassword } from "./accounts/password.ts";
import { hashSecret, newSecret } from "./accounts/tokens.ts";
import { isLocalpart, isUserId } from "./rooms/ids.ts";
import { openStore, type Store } from "./store/index.ts";
import { isLocked } from "./store/lock.ts";
import { FORMAT } from "./store/migrations.ts";

/** An account, as `homeserver user list` shows it. */
export interface HomeserverUser {
  readonly userId: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly deactivated: boolean;
}

export interface RegistrationTokenOptions {
  /** How many accounts the token is good for; without it, any number. */
  readonly uses?: number;
  /** Milliseconds since the epoch; without it, for ever. */
  readonly expiresAt?: number;
}

/**
 * Makes an account in a data directory, whether a server is running on it or not; a running one knows it
 * at once. Answers with the user id. MX_BAD_INPUT for a name that is taken or malformed,
 * MX_HOMESERVER_START where no homeserver was ever started, MX_STORE_LOCKED where one of an older program runs.
 */
export async function addUser(dataDir: string, name: string, password: string): Promise<string> {
  return await withStore(dataDir, (store) => {
    const serverName = store.accounts.serverName();
    if (serverName === undefined) throw noHomeserver(dataDir);
    return addUserTo(store, serverName, name, password);
  });
}

/** The accounts of a data directory, by user id. */
export async function listUsers(dataDir: string): Promise<HomeserverUser[]> {
  return await withStore(dataDir, async (store) => listUsersOf(store));
}

/** Makes a secret that lets somebody register at the server of a data directory; it is shown this once. */
export async function createRegistrationToken(
  dataDir: string,
  options: RegistrationTokenOptions = {},
): Promise<string> {
  return await withStore(dataDir, (store) => createRegistrationTokenIn(store, options));
}

/** Ends a registration token; one that is not known is fine. */
export async function revokeRegistrationToken(dataDir: string, token: string): Promise<void> {
  await withStore(dataDir, async (store) => {
    store.db.transaction(() => store.accounts.deleteRegistrationToken(hashSecret(token)));
    await store.db.durable();
  });
}

async function withStore<T>(dataDir: string, work: (store: Store) => Promise<T>): Promise<T> {
  const path = join(dataDir, "homeserver.db");
  if (!existsSync(path)) throw noHomeserver(dataDir);
  if (isLocked(dataDir)) refuseOlder(path);
  const store = openStore(path);
  try {
    return await work(store);
  } finally {
    store.db.close();
  }
}

/** To open a store brings it up to date, and an older server that has it open could do nothing more with it. */
function refuseOlder(path: string): void {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    if (formatOf(db, path, FORMAT) === FORMAT) return;
  } finally {
    db.close();
  }
  const hint =
    "the homeserver that runs on it is of an older mx-agent: `mx-agent down` and `mx-agent up`, or `homeserver stop` and `start`, bring it up to date";
  throw mxError("MX_STORE_LOCKED", { file: path }, { hint });
}

export async function addUserTo(
  store: Store,
  serverName: string,
  name: string,
  password: string,
): Promise<string> {
  const userId = name.startsWith("@") ? name : `@${name}:${serverName}`;
  const localpart = userId.slice(1, userId.indexOf(":"));
  if (!isUserId(userId) || !isLocalpart(localpart) || !userId.endsWith(`:${serverName}`)) {
    throw badInput(`${name} can't be a user name here`, "user names have the characters a-z 0-9 . _ = / + -");
  }
  if (password === "") throw badInput("the password is empty", "give one with at least a few characters");
  const hash = await hashPassword(password);
  store.db.transaction(() => {
    if (store.accounts.user(userId) !== undefined)
      throw badInput(`${userId} is there already`, "choose another name");
    store.accounts.createUser(userId, hash, Date.now());
    store.accounts.setProfile(userId, "displayname", localpart);
  });
  await store.db.durable();
  return userId;
}

export function listUsersOf(store: Store): HomeserverUser[] {
  return store.accounts.users().map((user) => ({
    userId: user.user_id,
    createdAt: user.created_ts,
    deactivated: user.deactivated === 1,
  }));
}

export async function createRegistrationTokenIn(
  store: Store,
  options: RegistrationTokenOptions = {},
): Promise<string> {
  const token = newSecret("reg");
  store.db.transaction(() =>
    store.accounts.addRegistrationToken(hashSecret(token), options.uses ?? null, options.expiresAt ?? null),
  );
  await store.db.durable();
  return token;
}

const noHomeserver = (dataDir: string) =>
  mxError("MX_HOMESERVER_START", { detail: `${dataDir} is not the data directory of a homeserver` });

function badInput(detail: string, hint: string): Error {
  return mxError("MX_BAD_INPUT", { detail, hint });
}

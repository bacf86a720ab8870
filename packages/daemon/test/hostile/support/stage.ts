/**
 * A builder, which is a real daemon behind a homeserver that the test may turn hostile; Alice, whose key it has
 * approved; and Mallory, who is a member of the room with power 50. Both are bare HTTP, or in an encrypted room
 * the encryption and nothing else of ours.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { EventTypes, newId, newNonce, type SigningKey } from "@mx-agent/protocol";
import { eventually } from "../../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../../scripts/homeservers.ts";
import { type Machine, startMachine } from "../../../../cli/test/support/machine.ts";
import { type FaultProxy, startFaultProxy } from "../../support/fault-proxy.ts";
import { throughProxy } from "../../support/through-proxy.ts";
import { type Account, RawAccount, type RoomEvent } from "./account.ts";
import { EncryptedAccount } from "./encrypted-account.ts";

export type Content = Record<string, unknown>;

export interface AuditLine extends Content {
  kind: string;
}

export interface Stage {
  homeserver: TestHomeserver;
  /** Between the builder and its homeserver. */
  proxy: FaultProxy;
  builder: Machine;
  alice: Account;
  mallory: Account;
  room: string;
  project: string;
  /** The unsigned content of a request for the builder that writes `mark` into a file. */
  request(mark: string, changes?: Content): Content;
  /** Sends a request of Alice's as it should be, and waits until it has run. */
  legitimate(mark: string): Promise<void>;
  /** What has run so far, in order. */
  ran(): Promise<string[]>;
  audit(): Promise<AuditLine[]>;
  /** How often each reason was summed up since the daemon first started. The daemon is stopped and started. */
  refusals(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

export async function setTheStage({ encrypted = false, maxConcurrent = 16 } = {}): Promise<Stage> {
  const Member = encrypted ? EncryptedAccount : RawAccount;
  const plain = encrypted ? [] : ["--no-e2ee"];
  const homeserver = await startHomeserverForTests();
  const proxy = await startFaultProxy(homeserver.url);
  const [builder, alice, mallory] = await Promise.all([
    startMachine({ name: "builder", homeserver: throughProxy(homeserver, proxy) }),
    Member.register(homeserver, "alice"),
    Member.register(homeserver, "mallory"),
  ]);
  const invitations = [alice, mallory].flatMap((account) => ["--invite", account.user_id]);
  const { room_id: room } = await builder.ask<{ room_id: string }>([
    ...["workspace", "create", "stage", ...plain, ...invitations],
  ]);
  for (const account of [alice, mallory]) {
    await account.join(room);
    await builder.ask(["workspace", "grant", account.user_id, "--level", "50", "--room", room]);
  }
  await builder.ask(["agent", "register", "--room", room, "--agent", "builder"]);
  await alice.announce(room, "alice");
  await trust(builder, room, "alice", alice.key);
  const project = join(builder.home, "project");
  await mkdir(project);
  await builder.setPolicy(policyOf(room, [alice.user_id, mallory.user_id], project, maxConcurrent));

  const request = (mark: string, changes: Content = {}) => requestFor(project, mark, changes);
  const ran = async () => {
    const text = await readFile(join(project, "ran"), "utf8").catch(() => "");
    return text.split("\n").filter(Boolean);
  };
  const audit = async () => {
    const { stdout } = await builder.run(["audit", "tail", "-n", "10000", "--json"]);
    return stdout
      .split("\n")
      .filter(Boolean)
      .map((line): AuditLine => JSON.parse(line));
  };
  return {
    homeserver,
    proxy,
    builder,
    alice,
    mallory,
    room,
    project,
    request,
    ran,
    audit,
    async legitimate(mark) {
      const content = request(mark);
      await alice.send(room, EventTypes.execRequest, alice.sign(room, EventTypes.execRequest, content));
      const answer = await alice.until(
        ({ type, content: { invocation_id } }) =>
          invocation_id === content.invocation_id &&
          (type === EventTypes.execFinished || type === EventTypes.execRejected),
      );
      if (answer.type !== EventTypes.execFinished || answer.content.exit_code !== 0)
        throw new Error(JSON.stringify(answer.content));
    },
    async refusals() {
      await builder.ask(["daemon", "stop"]);
      await builder.startDaemon();
      const totals: Record<string, number> = {};
      for (const { kind, reasons } of await audit())
        if (kind === "refusal_summary" && typeof reasons === "object" && reasons !== null)
          for (const [reason, count] of Object.entries(reasons))
            totals[reason] = (totals[reason] ?? 0) + Number(count);
      return totals;
    },
    async close() {
      await Promise.all([alice.close(), mallory.close()]);
      await builder.close();
      await proxy.close();
      await homeserver.close();
    },
  };
}

/** The operator approves the key that he compared at the other's terminal. */
export async function trust(
  machine: Machine,
  room: string,
  agent: string,
  key: SigningKey,
  flags: string[] = [],
): Promise<void> {
  const approve = ["trust", "approve", agent, "--room", room, "--fingerprint", key.fingerprint, ...flags];
  await eventually(async () => (await machine.run(approve)).code === 0);
}

function requestFor(project: string, mark: string, changes: Content): Content {
  const now = Date.now();
  const invocation_id = newId("inv", now);
  return {
    invocation_id,
    request_id: newId("req", now),
    target_agent: "builder",
    requesting_agent: "alice",
    command: ["sh", "-c", 'echo "$0" >> ran', mark],
    cwd: project,
    env: {},
    stdin: false,
    stream: true,
    pty: false,
    timeout_ms: 60_000,
    task_id: null,
    created_at: new Date(now).toISOString(),
    expires_at: new Date(now + 120_000).toISOString(),
    nonce: newNonce(),
    idempotency_key: `exec:${invocation_id}`,
    ...changes,
  };
}

export function policyOf(room: string, users: string[], project: string, maxConcurrent = 16): string {
  const entries = users.map(
    (user) => `[rooms."${room}".agents."${user}"]
allow_exec = true
allow_unsandboxed = true
allow_commands = ["sh", "cat", "sleep"]
allow_cwd = ["${project}"]
`,
  );
  return `version = 1
[execution]
sandbox = "none"
network = "allow"
max_concurrent = ${maxConcurrent}
[rooms."${room}"]
trusted = true
${entries.join("")}`;
}

/** Whether an event is of these types and about that request. */
export const isAbout =
  ({ invocation_id }: Content, ...types: string[]) =>
  ({ type, content }: RoomEvent) =>
    types.includes(type) && content.invocation_id === invocation_id;

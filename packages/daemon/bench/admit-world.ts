/** A world in which requests are in order, and the requests, of one peer, made and signed as they come. */
import { createPublicKey, randomUUID, sign, verify } from "node:crypto";
import { loadPolicy, nodeMachine } from "@mx-agent/policy";
import {
  EventTypes,
  encodePublicKey,
  generateSigningKey,
  signContent,
  signedBytes,
} from "@mx-agent/protocol";
import { admit } from "../src/admit/admit.ts";
import { address } from "../src/admit/checks/address.ts";
import { binding } from "../src/admit/checks/binding.ts";
import { freshness } from "../src/admit/checks/freshness.ts";
import { key as keyCheck } from "../src/admit/checks/key.ts";
import { policy as policyCheck } from "../src/admit/checks/policy.ts";
import { shape } from "../src/admit/checks/shape.ts";
import { signature } from "../src/admit/checks/signature.ts";
import type { World } from "../src/admit/world.ts";
import type { IncomingEvent } from "../src/matrix/api.ts";

const ROOM = "!room:example.org";
const ALICE = "@alice:example.org";

export class AdmitBench {
  readonly world: World;
  readonly #key = generateSigningKey();
  readonly #public = createPublicKey(this.#key.privateKey);
  #made = 0;

  constructor() {
    const machine = nodeMachine({ PATH: "/usr/bin:/bin", HOME: "/" });
    const { key_id, fingerprint, publicKey } = this.#key;
    const approved_at = new Date().toISOString();
    const public_key = encodePublicKey(publicKey);
    const policy = loadPolicy(policyText, "policy.toml", machine);
    if (policy.state !== "ok") throw new Error(`the bench's policy is ${policy.state}`);
    const ownAgent: World["ownAgent"] = (room_id, agent_id) => ({
      ...{ room_id, agent_id, kind: "", cwd: "/", capabilities: [], state_rev: 1 },
    });
    this.world = {
      now: Date.now,
      self: { user_id: "@builder:example.org", key_id: "none", public_key: publicKey },
      ownAgent,
      registeredAgent: ownAgent,
      trusted: (room_id, agent_id) => ({
        ...{ room_id, agent_id, user_id: ALICE, key_id, fingerprint, public_key, status: "trusted" },
        ...{ legacy: false, approved_at, expires_at: null, revoked_at: null },
      }),
      isJoined: () => true,
      isEncrypted: () => false,
      claim: () => "fresh",
      policy,
      machine,
      under: null,
      running: () => 0,
      requestsInLastMinute: () => 0,
    };
  }

  events(count: number): IncomingEvent[] {
    return Array.from({ length: count }, () => this.#event());
  }

  decide(event: IncomingEvent): void {
    const { outcome } = admit(event, this.world);
    if (outcome !== "admitted") throw new Error(`the bench's request was ${outcome}`);
  }

  signedOf(event: IncomingEvent): { bytes: Buffer; sig: Buffer } {
    const bytes = signedBytes(Object(event.content));
    return { bytes, sig: sign(null, bytes, this.#key.privateKey) };
  }

  verify({ bytes, sig }: { bytes: Buffer; sig: Buffer }): void {
    if (!verify(null, bytes, this.#public, sig)) throw new Error("not verified");
  }

  /** The steps that need no disk, one by one. */
  steps(count: number, step: <T>(what: string, work: () => T) => T): void {
    for (const event of this.events(count)) {
      const request = step("2 shape", () => shape(event));
      const agent = step("3 address", () => address(request, ROOM, this.world));
      step("4 freshness", () => freshness(request.content, Date.now()));
      const bound = step("5 binding", () => binding(event, request.content, ROOM));
      const { requesting_agent, signature: claimed } = request.content;
      const claimant = { room_id: ROOM, sender: ALICE, requesting_agent, key_id: claimed?.key_id };
      const key = step("6 key", () => keyCheck(claimant, bound, this.world));
      step("7 signature", () => signature(request.content, key));
      step("10 policy", () => policyCheck(request, event, agent, this.world));
    }
  }

  #event(): IncomingEvent {
    const now = Date.now();
    const invocation_id = `inv_${++this.#made}_${randomUUID()}`;
    const content = signContent(
      {
        invocation_id,
        request_id: `req_${this.#made}_${randomUUID()}`,
        target_agent: "builder",
        requesting_agent: "alice",
        command: ["sh", "-c", "npm test -w packages/daemon"],
        cwd: "/",
        env: {},
        stdin: false,
        stream: true,
        pty: false,
        timeout_ms: 600_000,
        task_id: null,
        created_at: new Date(now).toISOString(),
        expires_at: new Date(now + 120_000).toISOString(),
        nonce: randomUUID(),
        idempotency_key: `exec:${invocation_id}`,
        reply: { device_id: "DEVICE" },
      },
      this.#key,
      { room_id: ROOM, type: EventTypes.execRequest, sender: ALICE, device_id: "DEVICE" },
    );
    return {
      kind: "timeline",
      inbox_id: this.#made,
      room_id: ROOM,
      event_id: `$${this.#made}`,
      sender: ALICE,
      type: EventTypes.execRequest,
      content: JSON.parse(JSON.stringify(content)),
      origin_server_ts: now,
      backfilled: false,
      transport: { encrypted: false },
      received_ts: now,
    };
  }
}

const policyText = `version = 1
[execution]
sandbox = "none"
network = "allow"
[rooms."${ROOM}"]
trusted = true
[rooms."${ROOM}".agents."${ALICE}"]
allow_exec = true
allow_unsandboxed = true
allow_commands = ["sh", "git", "npm"]
allow_cwd = ["/"]
`;

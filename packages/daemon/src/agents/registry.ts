import { capacityOf, type ToolDefinition, tools } from "@mx-agent/policy";
import {
  AGENT_REFRESH_MS,
  type AgentState,
  EventTypes,
  encodePublicKey,
  parseContent,
  type Rotation,
} from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { IncomingEvent, Outbox, Rooms } from "../matrix/api.ts";
import type { PolicyFile } from "../policy-file.ts";
import type { OwnAgent, OwnAgents } from "../state/own-agents.ts";
import { answeredElsewhere, otherDaemon } from "./elsewhere.ts";

/** How often one agent's state is restored, at most: whoever goes on overwriting it cannot make us chatter. */
const RESTORE_INTERVAL_MS = 60_000;

export interface RegistryParts {
  ownAgents: OwnAgents;
  identity: Identity;
  rooms: Rooms;
  outbox: Outbox;
  policy: PolicyFile;
  /** How many run now. */
  running(): number;
  /** The audit log's head as the last checkpoint signed it; peers remember it. */
  auditHead(): { seq: number; sha256: string } | undefined;
  /** A new key of this daemon's, announced under the one before. */
  rotation(): Rotation | undefined;
  /** Another daemon of this user answers for one of our agents from now on. */
  onTakenOver(agent: OwnAgent, device_id: string): void;
  now(): number;
}

/** The agents that this daemon answers for: publishes their signed state, and restores what others overwrite. */
export class AgentRegistry {
  readonly #parts: RegistryParts;
  readonly #timer: NodeJS.Timeout;
  readonly #warnings = new Map<string, string>();
  /** Registered here, and not yet shown by the room: what it shows meanwhile is from before. */
  readonly #registering = new Set<string>();
  readonly #restored = new Map<string, number>();
  readonly #restoring = new Map<string, NodeJS.Timeout>();

  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.publishAll(), AGENT_REFRESH_MS);
    this.#timer.unref();
  }

  get warnings(): string[] {
    return [...this.#warnings.values()];
  }

  register(agent: Omit<OwnAgent, "state_rev">): OwnAgent {
    const known = this.#parts.ownAgents.find(agent.room_id, agent.agent_id);
    const registered = { ...agent, state_rev: known?.state_rev ?? 0 };
    this.#parts.ownAgents.put(registered, this.#parts.now());
    this.#warnings.delete(nameOf(registered));
    this.#registering.add(nameOf(registered));
    return this.#publish(registered, "active");
  }

  /**
   * Says so in its state, with its full content, and no longer answers for it. The state of one that another daemon
   * answers for is that one's.
   */
  unregister(agent: OwnAgent): void {
    const { ownAgents } = this.#parts;
    if (ownAgents.find(agent.room_id, agent.agent_id)) this.#publish(agent, "offline");
    ownAgents.remove(agent.room_id, agent.agent_id);
    this.#warnings.delete(nameOf(agent));
  }

  publishAll(): void {
    for (const agent of this.#parts.ownAgents.list())
      if (!this.#isTakenOver(agent)) this.#publish(agent, "active");
  }

  /**
   * Somebody else's write over one of our agents is answered by our own state, and said. One by another daemon of
   * our own user is the operator's: it answers for the agent from then on.
   */
  onState(event: IncomingEvent): void {
    const { identity, ownAgents } = this.#parts;
    if (event.type !== EventTypes.agent) return;
    const agent = ownAgents.find(event.room_id ?? "", event.state_key ?? "");
    if (!agent) return;
    if (event.sender === identity.account.user_id) {
      if (otherDaemon(event, agent.room_id, agent.agent_id, identity) === undefined)
        this.#registering.delete(nameOf(agent));
      this.#isTakenOver(agent);
      return;
    }
    if (this.#isTakenOver(agent)) return;
    this.#warnings.set(
      nameOf(agent),
      `the state of agent ${agent.agent_id} was overwritten by ${event.sender} at ${new Date(event.received_ts).toISOString()}, and is restored`,
    );
    this.#restore(agent);
  }

  #isTakenOver(agent: OwnAgent): boolean {
    const { ownAgents, onTakenOver } = this.#parts;
    const device_id = answeredElsewhere(agent.room_id, agent.agent_id, this.#parts);
    if (device_id === undefined || this.#registering.has(nameOf(agent))) return false;
    ownAgents.leave(agent.room_id, agent.agent_id);
    this.#warnings.set(
      nameOf(agent),
      `agent ${agent.agent_id} of ${agent.room_id} is another daemon's of this user now (device ${device_id}); \`mx-agent agent register\` here takes it back`,
    );
    onTakenOver(agent, device_id);
    return true;
  }

  #restore(agent: OwnAgent): void {
    const name = nameOf(agent);
    if (this.#restoring.has(name)) return;
    const since = this.#parts.now() - (this.#restored.get(name) ?? Number.NEGATIVE_INFINITY);
    const restore = () => {
      this.#restoring.delete(name);
      const current = this.#parts.ownAgents.find(agent.room_id, agent.agent_id);
      if (!current) return;
      this.#restored.set(name, this.#parts.now());
      this.#publish(current, "active");
    };
    if (since >= RESTORE_INTERVAL_MS) restore();
    else this.#restoring.set(name, setTimeout(restore, RESTORE_INTERVAL_MS - since).unref());
  }

  #publish(agent: OwnAgent, status: "active" | "offline"): OwnAgent {
    const { outbox, ownAgents, now } = this.#parts;
    const next = { ...agent, state_rev: agent.state_rev + 1 };
    ownAgents.put(next, now());
    outbox.enqueue(
      {
        kind: "state",
        room_id: agent.room_id,
        type: EventTypes.agent,
        state_key: agent.agent_id,
        content: this.#content(next, status),
      },
      { replace_key: `agent ${agent.room_id} ${agent.agent_id}` },
    );
    for (const tool of status === "active" ? tools(this.#parts.policy.current()) : [])
      this.#publishTool(agent, tool);
    return next;
  }

  #content(agent: OwnAgent, status: "active" | "offline"): AgentState {
    const { identity, running, auditHead, now, policy } = this.#parts;
    const { account, key } = identity;
    const audit_head = auditHead();
    const rotation = this.#parts.rotation();
    return identity.sign<AgentState>(agent.room_id, EventTypes.agent, {
      agent_id: agent.agent_id,
      kind: agent.kind,
      matrix_user_id: account.user_id,
      device_id: account.device_id,
      signing_key_id: key.key_id,
      signing_public_key: encodePublicKey(key.publicKey),
      status,
      capabilities: agent.capabilities,
      tools: tools(policy.current()).map((tool) => `${tool.name}@${tool.version}`),
      workspace: { cwd: agent.cwd, project_id: "", git_commit: "" },
      load: {
        running_invocations: running(),
        max_invocations: capacityOf(policy.current(), agent.room_id),
      },
      last_seen_ts: now(),
      state_rev: agent.state_rev,
      ...(audit_head ? { audit_head } : {}),
      ...(rotation ? { rotation } : {}),
    });
  }

  /** A tool's state is written where it differs from what the room has. */
  #publishTool(agent: OwnAgent, tool: ToolDefinition): void {
    const content = {
      name: tool.name,
      version: tool.version,
      description: tool.description,
      input_schema: tool.input_schema,
      output_schema: tool.output_schema,
    };
    const state_key = `${agent.agent_id}|${tool.name}`;
    const there = this.#parts.rooms.stateEvent(agent.room_id, EventTypes.tool, state_key);
    if (there && JSON.stringify(there.content) === JSON.stringify(content)) return;
    this.#parts.outbox.enqueue(
      { kind: "state", room_id: agent.room_id, type: EventTypes.tool, state_key, content },
      { replace_key: `tool ${agent.room_id} ${state_key}` },
    );
  }

  close(): void {
    clearInterval(this.#timer);
    for (const timer of this.#restoring.values()) clearTimeout(timer);
    this.#restoring.clear();
  }
}

function nameOf(agent: OwnAgent): string {
  return `${agent.room_id} ${agent.agent_id}`;
}

/** The agent state in a room, when it can be read. */
export function agentState(rooms: Rooms, room_id: string, agent_id: string): AgentState | undefined {
  const event = rooms.stateEvent(room_id, EventTypes.agent, agent_id);
  const parsed = event && parseContent(EventTypes.agent, event.content);
  return parsed?.ok ? parsed.value : undefined;
}

import { maskArgv } from "@mx-agent/base";
import type { Grant } from "@mx-agent/policy";
import { type Reason, requestDigest } from "@mx-agent/protocol";
import type { RunEnd } from "@mx-agent/runner";
import type { Admission } from "./admit/admit.ts";
import type { IncomingEvent } from "./matrix/api.ts";
import type { RefusalSummary } from "./receive/refusals.ts";
import type { Execution } from "./state/executions.ts";

type Entry = { kind: string } & Record<string, unknown>;

/** Where entries go: all of them appended and synced before the call returns; throws when they cannot be written. */
export interface AuditSink {
  appendMany(entries: readonly Entry[]): unknown;
}

/** What the daemon puts on record, in the audit log's words. */
export class Auditor {
  readonly #sink: AuditSink;
  /** What waits for the end of `together`. */
  #gathered: Entry[] | null = null;
  /** The policy that was read last, until that is on record. */
  #owed: Entry[] = [];

  constructor(sink: AuditSink) {
    this.#sink = sink;
  }

  /** Whatever `work` puts on record is written and synced as one at its end: it throws where that cannot be. */
  together<T>(work: () => T): T {
    const gathered: Entry[] = [];
    this.#gathered = gathered;
    let result: T;
    try {
      result = work();
    } finally {
      this.#gathered = null;
    }
    this.#write(gathered);
    return result;
  }

  #put(entry: Entry): void {
    if (this.#gathered) this.#gathered.push(entry);
    else this.#write([entry]);
  }

  #write(entries: readonly Entry[]): void {
    this.#sink.appendMany([...this.#owed, ...entries]);
    this.#owed = [];
  }

  decision(event: IncomingEvent, admission: Exclude<Admission, { outcome: "silence" }>): void {
    const request = admission.outcome === "admitted" ? admission.admitted.request : admission.request;
    const key = admission.outcome === "admitted" ? admission.admitted.key : admission.key;
    this.#put({
      kind: "decision",
      decision: admission.outcome === "admitted" ? "allow" : admission.outcome === "held" ? "hold" : "deny",
      reason: admission.outcome === "refused" ? admission.reason : null,
      rule: admission.outcome === "refused" ? admission.detail : admission.rule,
      room_id: event.room_id,
      event_id: event.event_id,
      sender: event.sender,
      key_id: key?.key_id ?? null,
      ...(request
        ? {
            invocation_id: request.content.invocation_id,
            request_id: request.content.request_id,
            request_sha256: requestDigest(request.content),
            requesting_agent: request.content.requesting_agent ?? null,
            target_agent: request.content.target_agent ?? null,
            ...(request.kind === "exec"
              ? { command: maskArgv(request.content.command), cwd: request.content.cwd }
              : { tool: request.content.tool }),
          }
        : {}),
      // What a tool's template made of the request; the request may name no version, and is kept for a week.
      ...(admission.outcome === "admitted" && ranAs(admission.admitted.grant)),
    });
  }

  outcome(execution: Execution, end: RunEnd): void {
    this.#put({
      kind: "outcome",
      invocation_id: execution.invocation_id,
      request_id: execution.request_id,
      outcome: end.outcome,
      exit_code: end.exit_code,
      signal: end.signal,
      duration_ms: end.duration_ms,
      stdout_bytes: end.stdout_bytes,
      stderr_bytes: end.stderr_bytes,
      truncated: end.truncated,
      ...(end.error ? { error: end.error.code } : {}),
    });
  }

  /** What runs is no longer allowed, and is ended; its outcome follows. */
  ended(execution: Execution, reason: Reason, rule: string): void {
    const { room_id, event_id, sender, key_id, invocation_id, request_id } = execution;
    const about = { room_id, event_id, sender, key_id, invocation_id, request_id };
    this.#put({ kind: "decision", decision: "end", reason, rule, ...about });
  }

  early(summary: RefusalSummary): void {
    this.#put({ kind: "refusal_summary", ...summary });
  }

  trust(
    action: "approved" | "revoked" | "superseded",
    entry: { room_id: string; agent_id: string; user_id: string; fingerprint: string },
  ): void {
    const { room_id, agent_id, user_id, fingerprint } = entry;
    this.#put({ kind: "trust", action, room_id, agent_id, user_id, fingerprint });
  }

  rotation(
    step: "announced" | "finished" | "abandoned",
    fingerprint: string,
    next_fingerprint: string,
  ): void {
    this.#put({ kind: "trust", action: `rotation_${step}`, fingerprint, next_fingerprint });
  }

  contradiction(room_id: string, agent_id: string, what: string): void {
    this.#put({ kind: "trust", action: "audit_head_contradicted", room_id, agent_id, what });
  }

  takenOver(agent: { room_id: string; agent_id: string }, device_id: string): void {
    const { room_id, agent_id } = agent;
    this.#put({ kind: "daemon", action: "agent_taken_over", room_id, agent_id, device_id });
  }

  invite(
    action: "created" | "revoked" | "used",
    entry: { invite_id: string; room_id: string; user_id?: string; agent_id?: string; fingerprint?: string },
  ): void {
    this.#put({ kind: "invite", action, ...entry });
  }

  /** What is known of a device has changed, and by which way. */
  device(
    action: "verified" | "unverified",
    by: "fingerprint" | "comparison",
    device: { user_id: string; device_id: string; fingerprint: string },
  ): void {
    const { user_id, device_id, fingerprint } = device;
    this.#put({ kind: "device", action, by, user_id, device_id, fingerprint });
  }

  /** This account's own identity or recovery was made, replaced, fetched or removed. */
  keys(
    action:
      | "cross_signing_made"
      | "cross_signing_reset"
      | "recovery_enabled"
      | "recovered"
      | "recovery_disabled",
  ): void {
    this.#put({ kind: "keys", action });
  }

  /**
   * It is in force whatever becomes of what it was read for, and so never a part of that. Where it cannot be written,
   * it comes before whatever can be next; of several one, for nothing was decided in between.
   */
  policy(state: "ok" | "missing" | "invalid", sha256: string | null): void {
    this.#owed = [{ kind: "policy", state, sha256 }];
    this.#write([]);
  }

  daemon(action: "started" | "stopped", version: string): void {
    this.#put({ kind: "daemon", action, version });
  }
}

/** Of a tool, what runs for it; of a command, nothing that the request does not say. */
function ranAs({ tool, argv, cwd }: Grant): Record<string, unknown> {
  if (tool === null) return {};
  return { tool: `${tool.name}@${tool.version}`, command: maskArgv(argv), cwd: cwd.path };
}

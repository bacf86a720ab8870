import type { Grant } from "@mx-agent/policy";
import type { CallRequest, ExecRequest } from "@mx-agent/protocol";
import type { IncomingEvent } from "../matrix/api.ts";
import type { OwnAgent } from "../state/own-agents.ts";

declare const brand: unique symbol;

/** A request as the schema read it, whichever of the two it is. */
export type RunRequest = { kind: "exec"; content: ExecRequest } | { kind: "call"; content: CallRequest };

/** The key that a request was verified with. */
export interface RequestKey {
  key_id: string;
  public_key: Uint8Array;
  legacy: boolean;
}

/** A request that passed every check. Only `admit` makes one, and only this can be run. */
export interface Admitted {
  readonly [brand]: true;
  readonly event: IncomingEvent;
  readonly request: RunRequest;
  readonly agent: OwnAgent;
  readonly key: RequestKey;
  readonly grant: Grant;
}

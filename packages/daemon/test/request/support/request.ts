import type { Request } from "../../../src/state/requests.ts";

/** A command that the builder was asked to run. */
export const request: Request = {
  invocation_id: "inv_1",
  request_id: "req_1",
  kind: "exec",
  room_id: "!r:x",
  agent: "builder",
  target_user: "@builder:x",
  target_key_id: "key",
  public_key: "",
  legacy: false,
  requesting_agent: "laptop",
  summary: "true",
  request_sha256: "",
  state: "requested",
  reason: null,
  detail: null,
  target_device: null,
  created_ts: 0,
  expires_ts: 1,
  ended_ts: null,
  finished: null,
  result: null,
};

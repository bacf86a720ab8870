/** What becomes of a request whose executing side says that it has no record of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EventTypes, encodePublicKey, requestDigest } from "@mx-agent/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Answers } from "../../src/request/answers.ts";
import type { Pending } from "../../src/request/pending.ts";
import { Database } from "../../src/state/database.ts";
import { RequestTable } from "../../src/state/requests.ts";
import { migrations } from "../../src/state/schema.ts";
import { BUILDER, builderKey, type Content, eventOf, ROOM, signed } from "../admit/support.ts";
import { request } from "./support/request.ts";

const DIGEST = requestDigest({});

let dir: string;
let db: Database;
let requests: RequestTable;
let answers: Answers;
let failed: string[];
beforeEach(() => {
  vi.useFakeTimers();
  dir = mkdtempSync(join(tmpdir(), "mx-forgotten-"));
  db = new Database({ file: join(dir, "state.db"), migrations, version: "1.0.0" });
  requests = new RequestTable(db);
  requests.insert({
    ...request,
    room_id: ROOM,
    target_user: BUILDER,
    target_key_id: builderKey.key_id,
    public_key: encodePublicKey(builderKey.publicKey),
    request_sha256: DIGEST,
  });
  failed = [];
  answers = new Answers({
    requests,
    rooms: { isJoined: () => true, get: () => undefined } as never,
    now: () => 7,
    inquiry: { isAnswer: () => true } as never,
    waiting: () => [
      {
        heard: () => {},
        fail: ({ code }: { code: string }) => failed.push(code),
        finished: async () => null,
      } as unknown as Pending,
    ],
  });
});
afterEach(() => {
  answers.close();
  db.close();
  rmSync(dir, { recursive: true });
  vi.useRealTimers();
});

const says = (type: string, content: Content) =>
  answers.onEvent(
    eventOf(
      signed(
        { invocation_id: "inv_1", request_sha256: DIGEST, ...content },
        { key: builderKey, type, sender: BUILDER },
      ),
      {
        ...{ kind: "to_device" as const, room_id: null, event_id: null, type, sender: BUILDER },
      },
    ),
  );
const unknown = () => says(EventTypes.invocationAnswer, { nonce: "n", state: "unknown" });
const state = () => requests.get("inv_1")?.state;

test("it ran there and was pruned: whoever waits is told, and the record says so", async () => {
  requests.setState("inv_1", "running");
  await unknown();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(failed).toEqual(["MX_FORGOTTEN"]);
  expect(requests.get("inv_1")).toMatchObject({ state: "lost", reason: "MX_FORGOTTEN" });
});

test("how it ended was behind that on its way, and is what counts", async () => {
  requests.setState("inv_1", "running");
  await unknown();
  await says(EventTypes.execFinished, {
    ...{ exit_code: 0, signal: null, duration_ms: 1, stdout_bytes: 0, stderr_bytes: 0 },
    ...{ truncated: false, artifact_mxc: null, outcome: "exited" },
  });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(failed).toEqual([]);
  expect(state()).toBe("ended");
});

test("a request that is not there yet is waited for until it expires", async () => {
  await unknown();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(failed).toEqual([]);
  expect(state()).toBe("requested");
});

import { mxError } from "@mx-agent/base";
import type { Params, Result } from "@mx-agent/ipc";
import { fingerprintOf, type Rotation, signRotation } from "@mx-agent/protocol";
import type { Auditor } from "../audit-entries.ts";
import type { Online } from "../online.ts";
import { dropNextKey, nextKeyOf, promoteNextKey } from "../signing-keys.ts";
import type { Settings } from "../state/settings.ts";
import type { Tables } from "../state/tables.ts";

const KEY = "rotation";

/** What the agent states say of a new key: while it is announced, and after it is in use. */
export function publishedRotation(settings: Settings, user_id: string): Rotation | undefined {
  const stored = settings.get(KEY);
  // Written by this file alone.
  const rotation = stored as Rotation | undefined;
  return rotation?.user_id === user_id ? rotation : undefined;
}

export interface RotationParts {
  tables: Tables;
  audit: Auditor;
  keysDir: string;
  online(): Online;
  /** Ends the session and opens it again, with whatever the key is by then. */
  reopen(change: () => void): Promise<void>;
  now(): number;
}

type Step = Params<"trust.rotate">;
type Done = Result<"trust.rotate">;

/**
 * A new signing key, in two steps: it is announced under the old one, which goes on signing while peers approve it;
 * then it takes over. So nobody who approved both is without a key in between.
 */
export async function rotate({ step, force }: Step, parts: RotationParts): Promise<Done> {
  const { tables, online } = parts;
  const { account, key } = online().identity;
  const { user_id } = account;
  const published = publishedRotation(tables.settings, user_id);
  const announced = published?.from_key_id === key.key_id ? published : undefined;
  const agents = tables.ownAgents.list().map(({ room_id, agent_id }) => ({ room_id, agent_id }));
  const { settings } = tables;
  if (step === "announce") {
    const next = nextKeyOf(parts.keysDir, user_id);
    if (announced?.key_id !== next.key_id) {
      parts.audit.rotation("announced", key.fingerprint, next.fingerprint);
      settings.set(KEY, signRotation(key, next, user_id, parts.now()));
    }
    online().registry.publishAll();
    return { state: "announced", fingerprint: key.fingerprint, next_fingerprint: next.fingerprint, agents };
  }
  if (!announced)
    throw mxError("MX_NOT_FOUND", {
      what: "announced key",
      name: "of this daemon",
      hint: "`mx-agent trust rotate` makes one and announces it",
    });
  if (step === "abandon") {
    parts.audit.rotation(
      "abandoned",
      key.fingerprint,
      fingerprintOf(Buffer.from(announced.public_key, "base64")),
    );
    settings.delete(KEY);
    dropNextKey(parts.keysDir, user_id);
    online().registry.publishAll();
    return { state: "abandoned", fingerprint: key.fingerprint, next_fingerprint: null, agents };
  }
  if (!force) requireQuiet(tables);
  await online().session.outbox.drained();
  // Others may have asked meanwhile.
  if (!force) requireQuiet(tables);
  const next = nextKeyOf(parts.keysDir, user_id);
  parts.audit.rotation("finished", key.fingerprint, next.fingerprint);
  await parts.reopen(() => promoteNextKey(parts.keysDir, user_id));
  return { state: "finished", fingerprint: next.fingerprint, next_fingerprint: null, agents };
}

/** What is under way would end under a key that the other side does not expect. */
function requireQuiet({ executions, requests }: Tables): void {
  const running = executions.inState("held", "received", "admitted", "starting", "running").length;
  const asked = requests.open().length;
  if (running + asked === 0) return;
  throw mxError("MX_BAD_INPUT", {
    detail: `${running} runs here and ${asked} requests elsewhere are under way, and would lose their results`,
    hint: "wait until they have ended (`mx-agent invocation list --running`), or add --force",
  });
}

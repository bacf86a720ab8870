import type { Result, TrustEntry } from "@mx-agent/ipc";
import { shellWords } from "./command.ts";
import { visible } from "./style.ts";
import { pairs, table } from "./table.ts";

export function renderTrustEntries(entries: readonly TrustEntry[], columns: number): string {
  if (entries.length === 0) return "no keys";
  return table(
    ["AGENT", "USER", "STATUS", "FINGERPRINT", "EXPIRES", "ROOM"],
    entries.map((entry) => [
      entry.agent_id,
      entry.user_id,
      entry.legacy ? `${entry.status} (legacy)` : entry.status,
      entry.fingerprint,
      entry.expires_at ?? "never",
      entry.room_id,
    ]),
    columns,
  );
}

export function renderRotation(done: Result<"trust.rotate">): string {
  const { state, fingerprint, next_fingerprint, agents } = done;
  const names = agents.map(({ agent_id, room_id }) => `  ${visible(agent_id)} in ${room_id}`);
  if (state === "finished")
    return [`this machine signs with ${fingerprint} from now on; the key before is gone`, ...names].join(
      "\n",
    );
  if (state === "abandoned") return `the announced key is gone; ${fingerprint} stays`;
  return [
    pairs([
      ["key", fingerprint],
      ["announced", next_fingerprint],
    ]),
    ...names,
    "When those who approved the key have approved the announced one: mx-agent trust rotate --finish",
  ].join("\n");
}

/** After a revocation: the user can still read nothing new, and is in the room. */
export function renderStillMember({ room_id, user_id }: { room_id: string; user_id: string }): string {
  const command = shellWords(["mx-agent", "workspace", "remove", user_id, "--room", room_id]);
  return visible(`${user_id} gets no more keys, and is still a member: ${command}`);
}

export function renderTrustEntry(entry: TrustEntry): string {
  return pairs([
    [entry.status, `${entry.agent_id} of ${entry.user_id}`],
    ["room", entry.room_id],
    ["fingerprint", entry.fingerprint],
    ["expires", entry.expires_at ?? "never"],
    ["signatures without binding", entry.legacy ? "accepted" : null],
  ]);
}

import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { mxError } from "@mx-agent/base";
import { EventTypes } from "@mx-agent/protocol";
import type { Online } from "../online.ts";

export interface GitFacts {
  remote_url: string | null;
  branch: string | null;
  commit: string | null;
}

/** Says in the room which project it is about, with what git's own files tell about it. */
export async function attach(
  params: { room: string; path: string },
  online: Pick<Online, "session" | "identity">,
  now: () => number,
): Promise<{ room_id: string; project_id: string }> {
  const { session, identity } = online;
  const { room_id } = await session.rooms.resolve(params.room);
  if (!existsSync(params.path) || !statSync(params.path).isDirectory())
    throw mxError("MX_BAD_INPUT", {
      detail: `${params.path} is not a directory`,
      hint: "name the project's directory",
    });
  const path = realpathSync(params.path);
  const project_id = basename(path);
  const before = session.rooms.stateEvent(room_id, EventTypes.workspace, "")?.content;
  const { state_rev }: { state_rev?: unknown } = typeof before === "object" && before !== null ? before : {};
  await session.setState(room_id, EventTypes.workspace, "", {
    project_id,
    path,
    repo: gitFacts(path),
    attached_by: identity.account.user_id,
    attached_at: now(),
    state_rev: typeof state_rev === "number" ? state_rev + 1 : 1,
  });
  return { room_id, project_id };
}

/** Remote, branch and commit of the repository that a directory is in; null where it is in none. */
export function gitFacts(path: string): GitFacts | null {
  const dir = gitDir(path);
  if (dir === undefined) return null;
  const head = read(join(dir, "HEAD"))?.trim();
  const branch = head?.startsWith("ref: refs/heads/") ? head.slice("ref: refs/heads/".length) : null;
  const common = resolve(dir, read(join(dir, "commondir"))?.trim() ?? ".");
  const ref = head?.startsWith("ref: ") ? head.slice("ref: ".length) : undefined;
  const commit = ref === undefined ? (head ?? null) : (refOf(common, ref) ?? null);
  const remote = /\[remote "origin"\][^[]*?\n\s*url\s*=\s*(\S+)/.exec(
    read(join(common, "config")) ?? "",
  )?.[1];
  return { remote_url: remote === undefined ? null : withoutUserinfo(remote), branch, commit };
}

function gitDir(path: string): string | undefined {
  for (let at = path; ; at = dirname(at)) {
    const entry = join(at, ".git");
    if (existsSync(entry)) {
      if (statSync(entry).isDirectory()) return entry;
      const link = /^gitdir: (.*)$/m.exec(read(entry) ?? "")?.[1];
      return link === undefined ? undefined : resolve(at, link);
    }
    if (dirname(at) === at) return undefined;
  }
}

function refOf(dir: string, ref: string): string | undefined {
  const loose = read(join(dir, ref))?.trim();
  if (loose) return loose;
  const packed = read(join(dir, "packed-refs"))?.split("\n") ?? [];
  return packed.find((line) => line.endsWith(` ${ref}`))?.split(" ")[0];
}

/** Rooms are readable by their server: a token in a remote's URL must not get there. */
function withoutUserinfo(url: string): string {
  // Up to the last "@" before the path: git takes one in a password as it is.
  return url.replace(/^([a-z+]+:\/\/)[^/]*@/i, "$1");
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

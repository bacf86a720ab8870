/**
 * What is written for good and what is sent has a name before it and after it, at which the crash tests end or stop the
 * process. Everything goes through few files; a new one needs points of its own, or a reason here why it needs none.
 */
import { expect, test } from "vitest";
import { sources, withoutComments } from "./imports.ts";

const PACKAGES = new Set(["base", "daemon", "ipc", "runner"]);

/** Calls that change a file, or put bytes on a socket or on the network. */
const LASTING =
  /\b(?:(?:write|append|copy|rename|unlink|link|rm|truncate|ftruncate|fsync|fdatasync)(?:File)?Sync|writeSync|rename|unlink|rm|writeFile|copyFile)\(|\.(?:writeFile|datasync|truncate)\(|[fF]ile\.(?:write|sync)\(|[sS]ocket\.write\(|\bawait fetch\(|"COMMIT"/;

/** A database beside the one whose commits have points. */
const OWN_DATABASE = /\bnew DatabaseSync\(/;

/** Files that need none, and why. */
const WITHOUT: Readonly<Record<string, string>> = {
  "packages/base/src/failpoint.ts": "the points themselves",
  "packages/base/src/sqlite.ts": "a copy that is whole or not there, before a store is migrated",
  "packages/daemon/src/audit/log.ts": "removes what is past its keeping",
  "packages/daemon/src/audit/recovery.ts": "takes back half a line that a crash left",
  "packages/daemon/src/lock.ts": "a note for people; who owns the home is decided by a lock",
  "packages/base/src/log-bound.ts": "the log of a program, which decides nothing",
  "packages/daemon/src/matrix/crypto-store/fatal.ts": "last words on stderr",
  "packages/daemon/src/matrix/crypto-store/storage-key.ts":
    "whole or not there, before there is anything that it opens",
  "packages/daemon/src/matrix/crypto-store/store-file.ts": "before the store is opened; each step has a test",
  "packages/daemon/src/matrix/discovery.ts": "asks, and changes nothing",
  "packages/daemon/src/matrix/inspect.ts": "asks, and changes nothing",
  "packages/daemon/src/matrix/media.ts": "goes through the guarded way out",
  "packages/daemon/src/retention.ts": "removes what is past its keeping",
  "packages/daemon/src/request/stdin-files.ts": "removes boundaries of input that nobody comes back to",
  "packages/daemon/src/signing-keys.ts": "a key's file is replaced as a whole; removes what was replaced",
  "packages/ipc/src/listen.ts": "removes a socket that nobody listens at",
  "packages/runner/src/cgroup.ts": "the kernel's files, which no crash survives",
  "packages/runner/src/durable.ts": "who the runner's guard is, for the runner after it; either is right",
  "packages/runner/src/lock.ts": "a lock that goes with its process; nothing is written",
  "packages/runner/src/main.ts": "removes a socket that nobody listens at",
};

/** Calls in files that have points, which have none around themselves, and why. */
const CALLS_WITHOUT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "packages/base/src/files.ts": {
    "rmSync(temporary, { force: true });": "what was not put into its place",
    "rmSync(path, { force: true });": "a file of a process that crashed",
    "writeFileSync(file, data);": "beside the file: the rename after it counts",
    "fsyncSync(file);": "beside the file: the rename after it counts",
    "fsyncSync(directory);": "makes the rename before it last",
  },
  "packages/daemon/src/audit/append-file.ts": {
    "fsyncSync(fd);": "an empty file",
    "unlinkSync(path);": "an empty file",
    "ftruncateSync(this.#fd, size);":
      "half a line that a crash left, or that is there again at the next start",
    "fsyncSync(this.#fd);": "half a line that a crash left, or that is there again at the next start",
    "ftruncateSync(this.#fd, this.#size);": "takes back what was not written whole",
    "fdatasyncSync(this.#fd);": "takes back what was not written whole",
  },
  "packages/daemon/src/request/caller.ts": {
    "if (!known || !isUnderWay(known)) rmSync(stdinFile(this.#parts.indexDir, invocation_id), { force: true });":
      "boundaries of input that nobody comes back to",
  },
  "packages/runner/src/spool.ts": {
    'await file.writeFile(Buffer.alloc(RESERVE_BYTES, " "));': "part of the mark, whose points are around it",
    "await file.sync();": "part of the mark, whose points are around it",
    "await rm(directory, { recursive: true, force: true });":
      "a mark that is taken back before anything began",
    "if (this.bytes > 0) await this.#file.datasync();": "for a power cut, which no kill is",
  },
};

/** How far a call may be from its points, lines without comments. */
const NEAR = 8;

/** Calls that last and have no point close before them, or none close after them. */
function bareCalls(code: string): string[] {
  const lines = code.split("\n");
  const near = (from: number, to: number, side: string) =>
    lines.slice(Math.max(0, from), to).some((line) => new RegExp(`failpoint\\("[^"]*${side}`).test(line));
  return lines.flatMap((line, at) => {
    if (!LASTING.test(line)) return [];
    const named = near(at - NEAR, at, "before") && near(at + 1, at + NEAR + 1, "after");
    return named ? [] : [line.trim()];
  });
}

const files = sources()
  .filter((source) => PACKAGES.has(source.package))
  .map(({ file, text }) => ({ file, code: withoutComments(text) }));
const lasting = files.filter(({ code }) => LASTING.test(code) || OWN_DATABASE.test(code));
const points = (code: string) => [...code.matchAll(/failpoint\("([^"]+)"\)/g)].map(([, name = ""]) => name);

test("whatever writes for good or sends has kill points, or a reason to have none", () => {
  const bare = lasting.filter(({ code }) => points(code).length === 0).map(({ file }) => file);
  expect(bare.filter((file) => WITHOUT[file] === undefined)).toEqual([]);
  expect(Object.keys(WITHOUT).filter((file) => !bare.includes(file))).toEqual([]);
});

test("each call that writes for good or sends has its points close to it, or a reason to have none", () => {
  const bare = lasting.flatMap(({ file, code }) =>
    points(code).length === 0 ? [] : bareCalls(code).map((call) => `${file}: ${call}`),
  );
  const excused = Object.entries(CALLS_WITHOUT).flatMap(([file, calls]) =>
    Object.keys(calls).map((call) => `${file}: ${call}`),
  );
  expect([...new Set(bare)].sort()).toEqual(excused.sort());
});

test("each point before something has one after it", () => {
  const names = new Set(files.flatMap(({ code }) => points(code)));
  expect(names.size).toBeGreaterThan(30);
  const alone = [...names].filter((name) => {
    const place = /^(.*\.)(before|after)(.*)$/.exec(name);
    if (!place) return true;
    const [, prefix = "", side] = place;
    return ![...names].some(
      (other) =>
        other.startsWith(prefix) &&
        other.slice(prefix.length).startsWith(side === "before" ? "after" : "before"),
    );
  });
  expect(alone).toEqual([]);
});

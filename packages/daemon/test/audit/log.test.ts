import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MxError } from "@mx-agent/base";
import { generateSigningKey } from "@mx-agent/protocol";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { signerOf } from "../../src/audit/checkpoint.ts";
import { hashLine } from "../../src/audit/line.ts";
import { type AuditLog, type AuditOptions, openAudit } from "../../src/audit/log.ts";

const key = generateSigningKey();
const signer = signerOf(key);
let dir = "";
let now = 0;
const open: AuditLog[] = [];

beforeEach(() => {
  dir = join(realpathSync(mkdtempSync(join(tmpdir(), "mx-audit-"))), "audit");
  now = Date.UTC(2026, 0, 1);
});
afterEach(() => {
  for (const log of open.splice(0)) log.close();
  rmSync(join(dir, ".."), { recursive: true, force: true });
});

function start(over: Partial<AuditOptions> = {}): AuditLog {
  const log = openAudit({ dir, clock: () => new Date(now), signer, ...over });
  open.push(log);
  return log;
}

function stop(log: AuditLog): void {
  open.splice(open.indexOf(log), 1);
  log.close();
}

const files = () => readdirSync(dir).toSorted();
const only = () => join(dir, "audit-000000000001.jsonl");
const lines = (file = only()) => readFileSync(file, "utf8").trimEnd().split("\n");
const decision = (n: number) => ({ kind: "decision" as const, decision: "allow", invocation_id: `inv_${n}` });
const problems = async (log: AuditLog) =>
  (await log.verify()).problems.map(({ line, problem }) => `${line} ${problem}`);

/** A log of `count` decisions, closed, with a checkpoint in the middle and at the end. */
function written(count = 6): void {
  const log = start();
  for (let n = 1; n <= count; n++) {
    log.append(decision(n));
    if (n === count / 2) log.checkpoint();
  }
  stop(log);
}

test("each line has the number after the line before, and its hash", async () => {
  const log = start();
  const positions = [log.append(decision(1)), log.append(decision(2))];
  const [first = "", second = ""] = lines();
  expect(JSON.parse(first)).toMatchObject({
    seq: 1,
    ts: "2026-01-01T00:00:00.000Z",
    kind: "decision",
    prev: "",
    invocation_id: "inv_1",
  });
  expect(JSON.parse(second)).toMatchObject({ seq: 2, prev: hashLine(first) });
  expect(positions).toEqual([
    { seq: 1, hash: hashLine(first) },
    { seq: 2, hash: hashLine(second) },
  ]);
  expect(log.head()).toEqual({ seq: 2, hash: hashLine(second), signed: null });
  expect(await log.verify()).toMatchObject({ ok: true, lines: 2, checkpoints: 0 });
});

test("nobody else can read the log", () => {
  start();
  expect([statSync(dir).mode & 0o777, statSync(only()).mode & 0o777]).toEqual([0o700, 0o600]);
});

test("secrets on a command line are masked, whoever puts them on record", () => {
  start().append({ ...decision(1), command: ["curl", "--token", "s3cr3t-value", "-u", "me:s3cr3t-value"] });
  expect(readFileSync(only(), "utf8")).not.toContain("s3cr3t-value");
});

test("an entry cannot take the place of the log's own fields", () => {
  const log = start();
  for (const field of ["seq", "ts", "prev", "signature"]) {
    expect(() => log.append({ ...decision(1), [field]: 7 })).toThrow(TypeError);
  }
  expect(log.head().seq).toBe(0);
});

test("a log that is opened again goes on where it ended", async () => {
  written();
  const log = start();
  log.append(decision(7));
  expect(await log.verify()).toMatchObject({ ok: true, lines: 9, checkpoints: 2, signed_through: 8 });
});

test("the head is signed when it is due, and only when lines came", () => {
  const log = start({ checkpointEveryMs: 1000 });
  log.append(decision(1));
  expect(log.head().signed).toBeNull();
  now += 1000;
  log.append(decision(2));
  const signed = log.head().signed;
  expect(signed).toEqual({ seq: 3, sha256: log.head().hash });
  expect(log.checkpoint()).toEqual(signed);
  expect(lines()).toHaveLength(3);
});

test("without a key nothing is signed, and with one that comes later everything before it is", async () => {
  const log = start({ signer: null });
  log.append(decision(1));
  expect(log.checkpoint()).toBeNull();
  log.signWith(signer);
  expect(log.checkpoint()?.seq).toBe(2);
  expect(await log.verify()).toMatchObject({ ok: true, checkpoints: 1, signed_through: 2 });
});

test("tail, show and follow give the lines as they are", () => {
  const log = start({ maxBytes: 400 });
  const heard: number[] = [];
  const unfollow = log.follow((line) => heard.push(line.seq));
  for (let n = 1; n <= 9; n++) log.append(decision(n % 3));
  unfollow();
  log.append(decision(0));
  const all = files().flatMap((file) => lines(join(dir, file)));
  expect(files().length).toBeGreaterThan(2);
  expect(log.tail(4)).toEqual(all.slice(-4).map((line) => JSON.parse(line)));
  expect(log.tail(1000)).toHaveLength(all.length);
  expect(log.tail(0)).toEqual([]);
  expect(log.show("inv_1").map((line) => line.invocation_id)).toEqual(["inv_1", "inv_1", "inv_1"]);
  expect(log.show("inv_")).toEqual([]);
  expect(heard).toEqual(all.slice(0, -1).map((line) => JSON.parse(line).seq));
});

test("rotation by size keeps the chain, and signs the end of each file", async () => {
  const log = start({ maxBytes: 1000 });
  for (let n = 1; n <= 20; n++) log.append(decision(n));
  const names = files();
  expect(names.length).toBeGreaterThan(3);
  for (const name of names.slice(0, -1)) {
    expect(JSON.parse(lines(join(dir, name)).at(-1) ?? "")).toMatchObject({ kind: "checkpoint" });
  }
  expect(await log.verify()).toMatchObject({ ok: true, files: names.map((name) => join(dir, name)) });
  stop(log);
  expect(await start().verify()).toMatchObject({ ok: true });
});

test("a file on its own can be verified", async () => {
  const log = start({ maxBytes: 1000 });
  for (let n = 1; n <= 20; n++) log.append(decision(n));
  const [, second = ""] = files();
  expect(await log.verify(second)).toMatchObject({ ok: true, files: [join(dir, second)], checkpoints: 1 });
  const text = readFileSync(join(dir, second), "utf8").replace("allow", "deny");
  writeFileSync(join(dir, second), text);
  expect(await log.verify(join(dir, second))).toMatchObject({ ok: false });
});

test("files beyond the number to keep are removed, on record; others that are missing are found", async () => {
  const log = start({ maxBytes: 1000, maxFiles: 3 });
  for (let n = 1; n <= 40; n++) log.append(decision(n));
  expect(files()).toHaveLength(3);
  expect(await log.verify()).toMatchObject({ ok: true });
  rmSync(join(dir, files()[0] ?? ""));
  expect(await problems(log)).toEqual([expect.stringMatching(/the lines up to \d+ are missing/)]);
});

test("a missing file in the middle is found", async () => {
  const log = start({ maxBytes: 1000 });
  for (let n = 1; n <= 20; n++) log.append(decision(n));
  rmSync(join(dir, files()[1] ?? ""));
  expect(await problems(log)).toEqual([expect.stringMatching(/lines were removed/)]);
});

/** Rewrites the file of a closed log. */
function rewrite(edit: (all: string[]) => string[]): void {
  writeFileSync(only(), `${edit(lines()).join("\n")}\n`);
}

test.each<[string, (all: string[]) => string[], RegExp]>([
  ["changed", (all) => all.with(2, (all[2] ?? "").replace("allow", "deny")), /^4 does not follow/],
  ["changed in one byte of white space", (all) => all.with(2, `${all[2]} `), /^4 does not follow/],
  ["removed", (all) => all.toSpliced(2, 1), /^3 has number 4, and 3 is due/],
  ["added", (all) => all.toSpliced(2, 0, all[2] ?? ""), /^4 has number 3, and 4 is due/],
  ["moved", (all) => all.toSpliced(2, 2, all[3] ?? "", all[2] ?? ""), /^3 has number/],
  ["replaced by rubbish", (all) => all.with(2, "rubbish"), /^3 is no line/],
])("a line that was %s is found", async (_, edit, expected) => {
  written();
  rewrite(edit);
  expect(await problems(start())).toContainEqual(expect.stringMatching(expected));
});

test("any one byte that is changed in a signed log is found", async () => {
  written(4);
  const before = readFileSync(only());
  await fc.assert(
    fc.asyncProperty(fc.nat(before.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bytes = Buffer.from(before);
      bytes.writeUInt8(bytes.readUInt8(at) ^ change, at);
      writeFileSync(only(), bytes);
      const { verifyFiles } = await import("../../src/audit/verify.ts");
      expect((await verifyFiles([only()], { isOwn: (id) => id === key.key_id })).ok).toBe(false);
    }),
    { numRuns: 200 },
  );
});

test("a cut is found by a head that somebody remembers", async () => {
  written();
  const whole = start();
  const { signed } = whole.head();
  stop(whole);
  rewrite((all) => all.slice(0, 4));
  const log = start();
  expect((await log.verify()).ok).toBe(true);
  expect(signed && (await log.verify(null, [signed])).problems).toMatchObject([
    { problem: expect.stringMatching(/it was cut/) },
  ]);
});

test("a cut while the daemon runs is found without one, and nothing more is taken", async () => {
  const log = start();
  for (let n = 1; n <= 3; n++) log.append(decision(n));
  truncateSync(only(), (lines()[0] ?? "").length + 1);
  expect(await problems(log)).toEqual([expect.stringMatching(/line 3 is remembered: it was cut/)]);
  expect(() => log.append(decision(4))).toThrow(expect.objectContaining({ code: "MX_STORE_DAMAGED" }));
});

test("a log that is removed or written to while the daemon runs takes nothing more", () => {
  const log = start();
  log.append(decision(1));
  appendFileSync(only(), "x");
  expect(() => log.append(decision(2))).toThrow(expect.objectContaining({ code: "MX_STORE_DAMAGED" }));
  rmSync(only());
  expect(() => log.append(decision(2))).toThrow(expect.objectContaining({ code: "MX_STORE_DAMAGED" }));
});

/** The whole log again, with another decision in it, a valid chain, and checkpoints by `as`. */
function forge(as: typeof signer | null): void {
  const old = lines().map((line) => JSON.parse(line));
  renameSync(dir, `${dir}-old`);
  const log = openAudit({ dir, clock: () => new Date(now), signer: as });
  for (const { seq, ts, prev, kind, ...fields } of old) {
    if (kind === "checkpoint") log.checkpoint();
    else log.append({ kind, ...fields, decision: "deny" });
  }
  log.close();
}

test("a log that was rewritten whole, with a valid chain and no key, is found by the head that peers remember", async () => {
  written();
  const published = { seq: 8, sha256: hashLine(lines()[7] ?? "") };
  forge(null);
  const log = start();
  log.append(decision(7));
  log.append(decision(8));
  expect((await log.verify(null, [published])).problems).toMatchObject([
    { problem: expect.stringMatching(/was rewritten/) },
  ]);
});

test("a log that was rewritten whole and signed with another key is found by its checkpoints", async () => {
  written();
  forge(signerOf(generateSigningKey()));
  expect(await problems(start())).toContainEqual(expect.stringMatching(/which is no key of this daemon/));
});

test("a checkpoint of another place in the log does not hold", async () => {
  written();
  rewrite((all) => {
    const checkpoint = JSON.parse(all[3] ?? "");
    const prev = hashLine(all[1] ?? "");
    return [...all.slice(0, 2), JSON.stringify({ ...checkpoint, seq: 3, prev })];
  });
  expect(await problems(start())).toContainEqual(
    expect.stringMatching(/^3 the signature of a checkpoint is not valid/),
  );
});

test("checkpoints of an earlier key count where it is known to be ours", async () => {
  written();
  const next = signerOf(generateSigningKey());
  const log = start({ signer: next, isOwnKey: (id) => id === next.key_id || id === key.key_id });
  log.append(decision(7));
  log.checkpoint();
  expect(await log.verify()).toMatchObject({ ok: true, checkpoints: 3 });
});

test.each([
  ["half a line", (whole: string) => whole.slice(0, 50), "removed_bytes"],
  ["the zeros of a block that was never written", () => "\0".repeat(300), "removed_bytes"],
  ["a line without its line break", (whole: string) => whole, "finished"],
])("after a crash %s at the end is repaired, and that is on record", async (_, left, field) => {
  const log = start({ signer: null });
  log.append(decision(1));
  log.append(decision(2));
  stop(log);
  const [first = "", second = ""] = lines();
  writeFileSync(only(), `${first}\n${left(second)}`);
  const again = start({ signer: null });
  expect(again.tail(1)[0]).toMatchObject({
    kind: "daemon",
    action: "audit_repaired",
    file: "audit-000000000001.jsonl",
    [field]: expect.any(Number),
  });
  again.append(decision(3));
  expect(await again.verify()).toMatchObject({ ok: true });
});

test("a last line that somebody made unreadable keeps its place, and is named", async () => {
  const log = start({ signer: null });
  log.append(decision(1));
  stop(log);
  appendFileSync(only(), "rubbish\n");
  const again = start({ signer: null });
  again.append(decision(2));
  expect(await problems(again)).toEqual(["2 is no line of an audit log"]);
});

test("a crash between two files leaves a log that goes on", async () => {
  written();
  writeFileSync(join(dir, "audit-000000000009.jsonl"), "", { mode: 0o600 });
  const log = start();
  expect(log.append(decision(7)).seq).toBe(9);
  expect(await log.verify()).toMatchObject({ ok: true, lines: 9 });
});

test("several entries are on record in their order, with one sync", async () => {
  const log = start();
  const positions = log.appendMany([decision(1), decision(2), decision(3)]);
  expect(positions.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  expect(log.appendMany([])).toEqual([]);
  expect(await log.verify()).toMatchObject({ ok: true, lines: 3 });
});

test("entries of many that are at work at once are on record in the order in which they were put there", async () => {
  const log = start({ maxBytes: 2000 });
  const seen: string[] = [];
  await Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      for (let step = 0; step < n % 4; step++) await new Promise(setImmediate);
      log.append(decision(n));
      seen.push(`inv_${n}`);
    }),
  );
  const recorded = log.tail(1000).filter((line) => line.kind === "decision");
  expect(recorded.map((line) => line.invocation_id)).toEqual(seen);
  expect(await log.verify()).toMatchObject({ ok: true });
});

test("what is appended while the log is verified does not disturb it", async () => {
  const log = start();
  for (let n = 0; n < 5; n++) log.appendMany(Array.from({ length: 1000 }, (_, i) => decision(i)));
  const verdict = log.verify();
  for (let n = 0; n < 20; n++) {
    log.append(decision(n));
    await new Promise(setImmediate);
  }
  expect(await verdict).toMatchObject({ ok: true, lines: 5000 });
});

test("a directory that others may enter is refused", () => {
  mkdirSync(dir, { mode: 0o755 });
  expect(() => start()).toThrow(MxError);
});

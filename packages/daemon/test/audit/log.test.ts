import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MxError } from "@mx-agent/base";
import { expect, test } from "vitest";
import { hashLine } from "../../src/audit/line.ts";
import {
  aSecondLater,
  decision,
  dir,
  files,
  lines,
  only,
  problems,
  signer,
  start,
  stop,
  written,
} from "./support/world.ts";

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
  aSecondLater();
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

import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateSigningKey } from "@mx-agent/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { signerOf } from "../../src/audit/checkpoint.ts";
import { hashLine } from "../../src/audit/line.ts";
import {
  decision,
  dir,
  files,
  forge,
  key,
  lines,
  only,
  problems,
  rewrite,
  start,
  stop,
  written,
} from "./support/world.ts";

test("a missing file in the middle is found", async () => {
  const log = start({ maxBytes: 1000 });
  for (let n = 1; n <= 20; n++) log.append(decision(n));
  rmSync(join(dir, files()[1] ?? ""));
  expect(await problems(log)).toEqual([expect.stringMatching(/lines were removed/)]);
});

/** Rewrites the file of a closed log. */
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

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { importSigningKey } from "@mx-agent/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { signerOf } from "../../src/audit/checkpoint.ts";
import { logFiles } from "../../src/audit/files.ts";
import { openAudit } from "../../src/audit/log.ts";

const writer = fileURLToPath(new URL("support/writer.ts", import.meta.url));
const signer = signerOf(importSigningKey(new Uint8Array(32).fill(7)));
let home = "";
let dir = "";

beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), "mx-audit-full-")));
  dir = join(home, "audit");
  mkdirSync(dir, { mode: 0o700 });
});
afterEach(() => {
  spawnSync("umount", [dir]);
  rmSync(home, { recursive: true, force: true });
});

type Said = { n: number; seq?: number; code?: string; hint?: string; unchanged?: boolean };

function said(stdout: string): Said[] {
  return stdout
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line): Said => JSON.parse(line));
}

const open = () => openAudit({ dir, clock: () => new Date(), signer });

/** What it said was on record is, in that order, and nothing else is. */
async function expectHonest(entries: Said[]): Promise<void> {
  const text = logFiles(dir)
    .map((file) => readFileSync(file, "utf8"))
    .join("");
  const decisions = text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .filter((line) => line.kind === "decision");
  expect(decisions.map((line) => line.invocation_id)).toEqual(
    entries.filter(({ seq }) => seq !== undefined).map(({ n }) => `inv_${n}`),
  );
  const log = open();
  expect((await log.verify()).problems).toEqual([]);
  log.close();
}

test("past the limit of a file's size nothing is taken, nothing changes, and it says so", async () => {
  // bash counts in units of 1,024 bytes.
  const { stdout } = spawnSync(
    "bash",
    ["-c", `ulimit -f 8; exec "$0" "$@"`, process.execPath, writer, dir, "12", "1500"],
    { encoding: "utf8" },
  );
  const entries = said(stdout);
  const refused = entries.filter(({ code }) => code !== undefined);
  expect(entries).toHaveLength(12);
  expect(refused.length).toBeGreaterThan(3);
  for (const entry of refused) {
    expect(entry).toMatchObject({
      code: "MX_CANNOT_WRITE",
      unchanged: true,
      hint: expect.stringMatching(/nothing runs/),
    });
  }
  await expectHonest(entries);
});

const mounted =
  spawnSync("sh", ["-c", "d=$(mktemp -d) && mount -t tmpfs -o size=32k none $d && umount $d && rmdir $d"])
    .status === 0;

test.skipIf(!mounted)(
  "on a full disk nothing is taken and nothing changes; with room again the log goes on",
  async () => {
    expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=32k,mode=0700", "none", dir]).status).toBe(0);
    const first = said(spawnSync(process.execPath, [writer, dir, "30", "1900"], { encoding: "utf8" }).stdout);
    const refused = first.filter(({ code }) => code !== undefined);
    expect(first).toHaveLength(30);
    expect(refused.length).toBeGreaterThan(5);
    for (const entry of refused)
      expect(entry).toMatchObject({
        code: "MX_CANNOT_WRITE",
        unchanged: true,
        hint: expect.stringMatching(/make room/),
      });
    await expectHonest(first);
    expect(spawnSync("mount", ["-o", "remount,size=128k", dir]).status).toBe(0);
    const log = open();
    const { seq } = log.head();
    expect(log.append({ kind: "decision", invocation_id: "inv_after" }).seq).toBe(seq + 1);
    expect(await log.verify()).toMatchObject({ ok: true });
    log.close();
  },
);

test.each(["audit.before_write", "audit.after_write", "audit.after_sync"])(
  "what was said to be on record still is after SIGKILL at %s",
  async (place) => {
    const { stdout, signal } = spawnSync(process.execPath, [writer, dir, "9", "10"], {
      encoding: "utf8",
      env: { ...process.env, MX_AGENT_FAILPOINT: `${place}:5` },
    });
    expect(signal).toBe("SIGKILL");
    const entries = said(stdout);
    expect(entries.map(({ n }) => n)).toEqual([1, 2, 3, 4]);
    const log = open();
    const recorded = log
      .tail(100)
      .filter((line) => line.kind === "decision")
      .map((line) => line.invocation_id);
    // The fifth may be there: nobody was told so, and nothing ran on it.
    expect(recorded.slice(0, 4)).toEqual(["inv_1", "inv_2", "inv_3", "inv_4"]);
    expect(log.append({ kind: "decision", invocation_id: "inv_after" }).seq).toBe(recorded.length + 1);
    expect(await log.verify()).toMatchObject({ ok: true });
    log.close();
  },
);

/** Somebody has the builder's machine and its keys, and makes its record say something else. The laptop remembers. */
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { importSigningKey } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { encodeCheckpoint, signerOf } from "../../src/audit/checkpoint.ts";
import { encodeLine, NOTHING, type Position } from "../../src/audit/line.ts";

interface Head {
  seq: number;
  sha256: string;
}

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons();
});
afterAll(() => they?.close());

const remembered = () => they.laptop.ask<Head[]>(["audit", "heads", "--agent", "builder"]);
const warnings = async () => {
  const found = await they.laptop.ask<{ warnings: string[] }>([
    ...["agent", "show", "--agent", "builder", "--room", they.room],
  ]);
  return found.warnings.join();
};
const logFile = () => {
  const dir = join(they.builder.home, "data", "audit");
  return join(dir, readdirSync(dir).toSorted().at(-1) ?? "");
};
/** What the laptop remembers, taken to the builder and compared there. */
async function verify() {
  const { stdout } = await they.laptop.run(["audit", "heads", "--agent", "builder", "--json"]);
  const { code, stdout: verdict } = await they.builder.run(["audit", "verify", "--heads", "-", "--json"], {
    stdin: stdout,
  });
  return {
    code,
    ...(JSON.parse(verdict) as { problems: { problem: string }[]; heads: { matched: number } }),
  };
}
/** Whoever has the machine has its state as well, where the daemon keeps how far it had written. */
function forgetLast(): void {
  const db = new DatabaseSync(join(they.builder.home, "data", "state.db"));
  db.exec("DELETE FROM settings WHERE key = 'audit_last'");
  db.close();
}

/** The builder publishes its head anew. */
async function restarted(): Promise<void> {
  await they.builder.ask(["daemon", "restart"]);
}

test("a peer remembers where an approved agent's record stands, over restarts, and it is so", async () => {
  expect((await they.exec(["echo", "first"])).code).toBe(0);
  await restarted();
  await eventually(async () => (await remembered()).length > 0);
  expect((await they.exec(["echo", "second"])).code).toBe(0);
  await restarted();
  await eventually(async () => (await remembered()).length > 1);
  await they.laptop.ask(["daemon", "restart"]);
  const heads = await remembered();
  expect(heads.length).toBeGreaterThan(1);
  expect(await verify()).toMatchObject({ code: 0, heads: { matched: heads.length } });
  expect(await warnings()).toBe("");
});

test("a record that was rewritten whole, with a chain and signatures that fit, is found by what the peer remembers", async () => {
  const before = await remembered();
  await they.builder.ask(["daemon", "stop"]);
  const keys = join(they.builder.home, "data", "keys");
  const seed = readFileSync(
    join(keys, readdirSync(keys).find((name) => name.endsWith(".seed")) ?? ""),
    "utf8",
  );
  const signer = signerOf(importSigningKey(Buffer.from(seed.trim(), "base64")));
  let after: Position = { seq: 0, hash: NOTHING };
  const lines: string[] = [];
  for (const text of readFileSync(logFile(), "utf8").split("\n").filter(Boolean)) {
    const { seq: _, ts, prev: __, signature: ___, public_key: ____, ...entry } = JSON.parse(text);
    const told = text.includes("echo") ? { ...entry, command: ["echo", "something else"] } : entry;
    const at = new Date(ts);
    const made =
      entry.kind === "checkpoint" ? encodeCheckpoint(after, at, signer) : encodeLine(after, at, told);
    lines.push(`${made.text}\n`);
    after = made.position;
  }
  writeFileSync(logFile(), lines.join(""));
  forgetLast();
  await they.builder.startDaemon();
  // By itself it is as it should be: whoever wrote it had everything.
  expect(await they.builder.ask(["audit", "verify"])).toMatchObject({ ok: true });
  const found = await verify();
  expect(found.code).toBe(65);
  expect(found.problems.map(({ problem }) => problem).join()).toContain("was rewritten");
  // One that is of after the lines that were changed is enough.
  const { seq, sha256 } = before.at(-1) ?? { seq: 0, sha256: "" };
  const one = await they.builder.run(["audit", "verify", "--head", `${seq}:${sha256}`]);
  expect([one.code, one.stdout]).toEqual([65, expect.stringContaining("rewritten")]);
});

test("a record that was cut is told by the peer as soon as it is published, with what to do", async () => {
  const heads = await remembered();
  await they.builder.ask(["daemon", "stop"]);
  const [line] = readFileSync(logFile(), "utf8").split("\n");
  truncateSync(logFile(), Buffer.byteLength(`${line}\n`));
  forgetLast();
  await they.builder.startDaemon();
  expect(await they.builder.ask(["audit", "verify"])).toMatchObject({ ok: true });
  await eventually(async () => (await warnings()).includes("its audit log was cut"));
  expect(await warnings()).toContain("mx-agent audit verify --heads");
  expect(await verify()).toMatchObject({ code: 65 });
  expect((await remembered()).length).toBeGreaterThan(heads.length);
  const { stdout } = await they.laptop.run(["audit", "tail", "-n", "1000", "--json"]);
  expect(stdout.match(/audit_head_contradicted/g)).toHaveLength(1);
});

test("a record that was rewritten whole, without a signature, while its daemon was down is found by that daemon", async () => {
  expect((await they.exec(["echo", "what was said"])).code).toBe(0);
  await they.builder.ask(["daemon", "stop"]);
  const text = readFileSync(logFile(), "utf8");
  let after: Position = { seq: 0, hash: NOTHING };
  const lines = text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .filter(({ kind }) => kind !== "checkpoint")
    .map(({ seq: _, ts, prev: __, ...entry }) => {
      const said = JSON.stringify(entry).replaceAll("what was said", "what was not");
      const made = encodeLine(after, new Date(ts), JSON.parse(said));
      after = made.position;
      return `${made.text}\n`;
    });
  writeFileSync(logFile(), lines.join(""));
  await they.builder.startDaemon();
  const { code, stdout } = await they.builder.run(["audit", "verify"]);
  expect([code, stdout]).toEqual([65, expect.stringMatching(/was rewritten|was cut/)]);
  expect((await they.builder.run(["doctor"])).stdout).toMatch(/audit.*was cut or rewritten/);
  expect((await they.builder.run(["status"])).stdout).toContain("mx-agent audit verify");
  // A restart makes nothing good; what is asked meanwhile runs, and goes on record.
  await restarted();
  expect((await they.exec(["echo", "afterwards"])).code).toBe(0);
  expect((await they.builder.run(["audit", "verify"])).code).toBe(65);
});

test("heads of another daemon are refused, and so is what is no list of heads", async () => {
  const { stdout } = await they.laptop.run(["audit", "heads", "--agent", "builder", "--json"]);
  for (const stdin of [stdout, "{}", "no json", '[{"seq":"1"}]'])
    expect((await they.laptop.run(["audit", "verify", "--heads", "-"], { stdin })).code, stdin).toBe(65);
  expect((await they.laptop.run(["audit", "verify", "--head", "1:short"])).code).toBe(64);
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runFixture } from "./program.ts";

test("a process passes failpoints unharmed where none is set", async () => {
  expect(await runFixture("passages.ts")).toMatchObject({ code: 0, stdout: "1\n2\n3\n" });
});

test("a process is killed at the named failpoint, at the named passage", async () => {
  const first = await runFixture("passages.ts", [], { MX_AGENT_FAILPOINT: "passage" });
  expect(first).toMatchObject({ signal: "SIGKILL", stdout: "" });
  const third = await runFixture("passages.ts", [], { MX_AGENT_FAILPOINT: "passage:3" });
  expect(third).toMatchObject({ signal: "SIGKILL", stdout: "1\n2\n" });
  const other = await runFixture("passages.ts", [], { MX_AGENT_FAILPOINT: "pass" });
  expect(other).toMatchObject({ code: 0 });
});

test("a process stands still at the named passage until somebody lets it go on", async () => {
  const file = fileURLToPath(new URL("fixtures/passages.ts", import.meta.url));
  const env = { PATH: process.env.PATH, MX_AGENT_FAILPOINT: "passage:2:stop" };
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"], env });
  let said = "";
  child.stdout.on("data", (bytes) => {
    said += bytes;
  });
  const ended = once(child, "close");
  while (stateOf(child.pid) !== "T") await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(said).toBe("1\n");
  child.kill("SIGCONT");
  expect(await ended).toEqual([0, null]);
  expect(said).toBe("1\n2\n3\n");
});

const stateOf = (pid: number | undefined) => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1];

/** A policy that is saved while the daemon reads: half of one is no policy. */
import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeMachine } from "@mx-agent/policy";
import { afterEach, beforeEach, expect, test } from "vitest";
import { digestOf, PolicyFile } from "../src/policy-file.ts";

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-policy-file-"));
  file = join(dir, "policy.toml");
});
afterEach(() => rmSync(dir, { recursive: true }));

const wide = `version = 1
[rooms."!a:x"]
trusted = true
[rooms."!a:x".agents."*"]
allow_exec = true
`;
const whole = `${wide}requires_approval = true
`;

function opened() {
  const states: string[] = [];
  const policy = new PolicyFile(file, nodeMachine({ PATH: "/usr/bin", HOME: dir }), ({ state }) =>
    states.push(state),
  );
  /** Whether everything is held; undefined where nothing is allowed at all. */
  const holds = () => {
    const loaded = policy.current();
    const [entry] = loaded.state === "ok" ? (loaded.policy.rooms.get("!a:x")?.entries ?? []) : [];
    return entry && entry.approval === true;
  };
  return { policy, holds, states };
}

test("of a file that is being saved in place the whole alone counts, though a part of it would allow more", async () => {
  writeFileSync(file, whole);
  const { holds } = opened();
  expect(holds()).toBe(true);
  // Another process saves it in two parts, again and again, while it is read here.
  const saver = spawn(
    process.execPath,
    [
      "-e",
      `const { openSync, writeSync, closeSync, ftruncateSync } = require("node:fs");
       const [file, ...parts] = process.argv.slice(1);
       let saved = 0;
       const save = () => {
         const fd = openSync(file, "r+");
         ftruncateSync(fd, 0);
         writeSync(fd, parts[0]);
         setTimeout(() => {
           writeSync(fd, parts[1]);
           closeSync(fd);
           if (++saved === 5) process.exit();
           setTimeout(save, 400);
         }, 20);
       };
       save();`,
      file,
      wide,
      "requires_approval = true\n",
    ],
    { stdio: "inherit" },
  );
  let ended = false;
  saver.once("exit", () => {
    ended = true;
  });
  const seen = new Set<boolean | undefined>();
  while (!ended) {
    seen.add(holds());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  seen.add(holds());
  expect(seen).not.toContain(false);
  expect(holds()).toBe(true);
});

test("one that was saved under another name counts at once, and while it is moved it is not missing", () => {
  writeFileSync(file, whole);
  const { holds, states } = opened();
  expect(holds()).toBe(true);
  writeFileSync(`${file}.new`, wide);
  renameSync(`${file}.new`, file);
  expect(holds()).toBe(false);
  unlinkSync(file);
  expect(holds()).toBeUndefined();
  expect(states).toEqual(["ok", "missing"]);
});

test("a change that leaves size and time as they were is seen all the same", () => {
  writeFileSync(file, whole);
  const { holds } = opened();
  expect(holds()).toBe(true);
  writeFileSync(
    file,
    whole
      .replace("true\n", "false")
      .replace(/true\n$/, "true \n")
      .slice(0, whole.length),
  );
  const before = digestOf(file);
  appendFileSync(file, "");
  expect(digestOf(file)).toBe(before);
  expect(holds()).toBeUndefined();
});

test("one that is written to without end denies everything until it rests", async () => {
  writeFileSync(file, wide);
  const { policy, holds } = opened();
  expect(holds()).toBe(false);
  const busy = spawn("sh", ["-c", `while sleep 0.02; do echo "#" >> '${file}'; done`]);
  const gone = new Promise((resolve) => busy.once("exit", resolve));
  try {
    await expect.poll(() => policy.current().state).toBe("invalid");
    expect(policy.current()).toMatchObject({
      problems: [expect.objectContaining({ line: expect.any(Number) })],
    });
  } finally {
    busy.kill("SIGKILL");
    await gone;
  }
  expect(policy.current().state).toBe("ok");
  expect(holds()).toBe(false);
});

import { chmodSync, copyFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { identity, runner, type TestRunner } from "./support/harness.ts";

let one: TestRunner;
beforeAll(async () => {
  one = await runner();
});
afterAll(() => one[Symbol.asyncDispose]());

const file = (name: string, text: string, mode = 0o755) => {
  const path = join(one.project, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};

const failing = async (executable: string, more = {}) => {
  const spec = { ...one.spec(["true"]), executable: identity(executable), ...more };
  const state = await one.start(spec);
  return state.end;
};

describe("what cannot be started says so at once, with the system's code", () => {
  it("a program that is gone: ENOENT", async () => {
    const executable = identity(file("gone", "#!/bin/sh\n"));
    renameSync(executable.path, `${executable.path}.away`);
    const { end } = await one.start({ ...one.spec(["true"]), executable });
    expect(end).toMatchObject({ outcome: "spawn_failed", error: { code: "ENOENT" }, exit_code: null });
  });

  it("a script whose interpreter is missing: ENOENT", async () => {
    const end = await failing(file("lost", "#!/no/such/interpreter\n"));
    expect(end).toMatchObject({ outcome: "spawn_failed", error: { code: "ENOENT" } });
  });

  it("a file that may not be executed: EACCES", async () => {
    const end = await failing(file("plain", "#!/bin/sh\n", 0o644));
    expect(end).toMatchObject({ outcome: "spawn_failed", error: { code: "EACCES" } });
  });

  it("a file that is no program is never given to a shell: ENOEXEC", async () => {
    const end = await failing(file("text", "touch ran-by-a-shell\n"));
    expect(end).toMatchObject({ outcome: "spawn_failed", error: { code: "ENOEXEC" } });
    expect((await one.sh("ls")).stdout).not.toContain("ran-by-a-shell");
  });

  it("a directory: EISDIR", async () => {
    expect(await failing(one.project)).toMatchObject({ outcome: "spawn_failed", error: { code: "EISDIR" } });
  });

  it("an argv that is too long: E2BIG", async () => {
    const spec = one.spec(["true", "x".repeat(3 * 1024 * 1024)]);
    expect((await one.start(spec)).end).toMatchObject({ outcome: "spawn_failed", error: { code: "E2BIG" } });
  });

  it("and a good one right after it works", async () => {
    expect(await one.run(["true"])).toMatchObject({ outcome: "exited", exit_code: 0 });
  });
});

describe("what was checked is what is used", () => {
  it("a working directory that became a link is refused", async () => {
    mkdirSync(join(one.project, "checked"));
    const cwd = identity(join(one.project, "checked"));
    renameSync(cwd.path, join(one.project, "moved"));
    symlinkSync("/etc", cwd.path);
    const { end } = await one.start(one.spec(["pwd"], { cwd }));
    expect(end).toMatchObject({ outcome: "spawn_failed", error: { code: "CHANGED" } });
  });

  it("a working directory behind a link that was put in its way is refused", async () => {
    mkdirSync(join(one.project, "parent/checked"), { recursive: true });
    const cwd = identity(join(one.project, "parent/checked"));
    renameSync(join(one.project, "parent"), join(one.project, "elsewhere"));
    symlinkSync(join(one.project, "elsewhere"), join(one.project, "parent"));
    const { end } = await one.start(one.spec(["pwd"], { cwd }));
    expect(end).toMatchObject({ outcome: "spawn_failed", error: { code: "CHANGED" } });
  });

  it("a program that was replaced is refused", async () => {
    const path = file("tool", "#!/bin/sh\necho checked\n");
    const executable = identity(path);
    copyFileSync(path, `${path}.new`);
    renameSync(`${path}.new`, path);
    const { end } = await one.start({ ...one.spec(["tool"], { executable }) });
    expect(end).toMatchObject({ outcome: "spawn_failed", error: { code: "CHANGED" } });
  });

  it("a missing working directory is refused", async () => {
    const cwd = { ...identity(one.project), path: join(one.project, "never") };
    const { end } = await one.start(one.spec(["pwd"], { cwd }));
    expect(end).toMatchObject({ outcome: "spawn_failed", error: { code: "ENOENT" } });
  });
});

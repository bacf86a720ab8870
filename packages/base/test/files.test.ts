import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { checkOwnFile, readPrivateFile, writeFileAtomic } from "@mx-agent/base";
import { describe, expect, test } from "vitest";
import { runFixture } from "./program.ts";
import { temporaryDir } from "./temporary.ts";

describe("an atomic write", () => {
  test("leaves the new content with the mode asked for, and nothing beside it", () => {
    const dir = temporaryDir();
    const path = join(dir, "key");
    const before = process.umask(0);
    try {
      writeFileAtomic(path, "secret");
      writeFileAtomic(path, Buffer.from([0, 255]));
    } finally {
      process.umask(before);
    }
    expect(readFileSync(path)).toEqual(Buffer.from([0, 255]));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    process.umask(0o077);
    try {
      writeFileAtomic(path, "public", { mode: 0o644 });
    } finally {
      process.umask(before);
    }
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(readdirSync(dir)).toEqual(["key"]);
  });

  test("replaces a link and never writes through it", () => {
    const dir = temporaryDir();
    writeFileSync(join(dir, "target"), "untouched");
    symlinkSync(join(dir, "target"), join(dir, "link"));
    writeFileAtomic(join(dir, "link"), "new");
    expect(readFileSync(join(dir, "target"), "utf8")).toBe("untouched");
    expect(readFileSync(join(dir, "link"), "utf8")).toBe("new");
  });

  test("is whole or not there when the process dies in it", async () => {
    for (const [failpoint, content] of [
      ["write_file.before_rename:2", "one"],
      ["write_file.after_rename:2", "two"],
    ] as const) {
      const path = join(temporaryDir(), "file");
      const ended = await runFixture("replace-file.ts", [path], { MX_AGENT_FAILPOINT: failpoint });
      expect(ended.signal).toBe("SIGKILL");
      expect(readFileSync(path, "utf8")).toBe(content);
    }
  });

  test("that cannot be done says so, and leaves nothing", () => {
    const dir = temporaryDir();
    mkdirSync(join(dir, "directory"));
    writeFileSync(join(dir, "directory", "inside"), "");
    expect(() => writeFileAtomic(join(dir, "directory"), "x")).toThrow(
      expect.objectContaining({ code: "MX_CANNOT_WRITE" }),
    );
    expect(() => writeFileAtomic(join(dir, "missing", "file"), "x")).toThrow(
      expect.objectContaining({ code: "MX_CANNOT_WRITE" }),
    );
    expect(readdirSync(dir)).toEqual(["directory"]);
  });
});

describe("a private file", () => {
  const refused = (detail: string) =>
    expect.objectContaining({ code: "MX_INSECURE_PATH", message: expect.stringContaining(detail) });

  test("is read where only we may open it, and undefined where there is none", () => {
    const path = join(temporaryDir(), "key");
    expect(readPrivateFile(path)).toBeUndefined();
    writeFileAtomic(path, "secret");
    expect(readPrivateFile(path)?.toString()).toBe("secret");
  });

  test("that others may open or own is refused", () => {
    const path = join(temporaryDir(), "key");
    writeFileAtomic(path, "secret");
    expect(() => readPrivateFile(path, statSync(path).uid + 1)).toThrow(refused("belongs to uid"));
    for (const mode of [0o644, 0o640, 0o602]) {
      chmodSync(path, mode);
      expect(() => readPrivateFile(path)).toThrow(refused("can be opened by others"));
    }
  });

  test("that is a link, a directory or a FIFO is refused, without waiting for a writer", () => {
    const dir = temporaryDir();
    writeFileAtomic(join(dir, "key"), "secret");
    symlinkSync(join(dir, "key"), join(dir, "link"));
    execFileSync("mkfifo", ["-m", "600", join(dir, "fifo")]);
    mkdirSync(join(dir, "directory"), { mode: 0o700 });
    expect(() => readPrivateFile(join(dir, "link"))).toThrow(refused("is a symbolic link"));
    expect(() => readPrivateFile(join(dir, "fifo"))).toThrow(refused("is not a regular file"));
    expect(() => readPrivateFile(join(dir, "directory"))).toThrow(refused("is not a regular file"));
  });

  test("of configuration may be read by others, and not be written or owned by them, nor where a link leads", () => {
    const dir = temporaryDir();
    const path = join(dir, "policy.toml");
    symlinkSync(path, join(dir, "link"));
    checkOwnFile(path);
    writeFileAtomic(path, "version = 1");
    chmodSync(path, 0o644);
    checkOwnFile(join(dir, "link"));
    const root = statSync(path).uid === 0;
    if (!root) expect(() => checkOwnFile(path, statSync(path).uid + 1)).toThrow(refused("belongs to uid"));
    chmodSync(path, 0o646);
    for (const name of [path, join(dir, "link")])
      expect(() => checkOwnFile(name)).toThrow(refused("can be written by others"));
  });

  test("with a second name is still the same file", () => {
    const dir = temporaryDir();
    writeFileAtomic(join(dir, "key"), "secret");
    linkSync(join(dir, "key"), join(dir, "other"));
    expect(readPrivateFile(join(dir, "other"))?.toString()).toBe("secret");
  });
});

import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensurePrivateDir, ensurePrivateDirs, type Machine, resolveDirs } from "@mx-agent/base";
import { describe, expect, test } from "vitest";
import { temporaryDir } from "./temporary.ts";

const machine = (given: { directories?: string[]; lingers?: boolean } = {}): Machine => ({
  home: "/home/anna",
  uid: 1000,
  ownsDirectory: (path) => (given.directories ?? []).includes(path),
  lingers: () => given.lingers ?? false,
});

describe("where things are", () => {
  test("nothing set: below the home directory, and the runtime directory survives a logout", () => {
    expect(resolveDirs({}, machine())).toEqual({
      config: "/home/anna/.config/mx-agent",
      data: "/home/anna/.local/share/mx-agent",
      runtime: "/home/anna/.local/share/mx-agent/run",
    });
  });

  test("MX_AGENT_HOME has all three, and a directory of its own wins over it", () => {
    const env = { MX_AGENT_HOME: "/srv/mx", XDG_CONFIG_HOME: "/x", XDG_RUNTIME_DIR: "/y" };
    expect(resolveDirs(env, machine({ directories: ["/y"] }))).toEqual({
      config: "/srv/mx/config",
      data: "/srv/mx/data",
      runtime: "/srv/mx/runtime",
    });
    expect(resolveDirs({ ...env, MX_AGENT_RUNTIME_DIR: "/r" }, machine()).runtime).toBe("/r");
    expect(resolveDirs({ ...env, MX_AGENT_CONFIG_DIR: "/c" }, machine()).config).toBe("/c");
    expect(resolveDirs({ ...env, MX_AGENT_DATA_DIR: "/d" }, machine()).data).toBe("/d");
  });

  test("the XDG directories are used, relative ones ignored", () => {
    const env = { XDG_CONFIG_HOME: "/c", XDG_DATA_HOME: "/d", XDG_RUNTIME_DIR: "/r" };
    expect(resolveDirs(env, machine({ directories: ["/r"] }))).toEqual({
      config: "/c/mx-agent",
      data: "/d/mx-agent",
      runtime: "/r/mx-agent",
    });
    expect(resolveDirs({ XDG_CONFIG_HOME: "c" }, machine()).config).toBe("/home/anna/.config/mx-agent");
  });

  test("a runtime directory that is not there, or is another user's, is not used", () => {
    expect(resolveDirs({ XDG_RUNTIME_DIR: "/r" }, machine()).runtime).toMatch(/mx-agent\/run$/);
  });

  test("logind's is used only where it stays after logout, and is found by a cron job too", () => {
    const directories = ["/run/user/1000"];
    const login = { XDG_RUNTIME_DIR: "/run/user/1000" };
    for (const env of [login, {}]) {
      expect(resolveDirs(env, machine({ directories, lingers: true })).runtime).toBe(
        "/run/user/1000/mx-agent",
      );
      expect(resolveDirs(env, machine({ directories })).runtime).toMatch(/share\/mx-agent\/run$/);
    }
  });

  test("an empty variable is none, a relative one of ours is refused by name", () => {
    expect(resolveDirs({ MX_AGENT_HOME: "" }, machine()).data).toMatch(/^\/home\/anna/);
    expect(() => resolveDirs({ MX_AGENT_HOME: "tmp" }, machine())).toThrow(
      expect.objectContaining({ code: "MX_CONFIG", message: expect.stringContaining("MX_AGENT_HOME") }),
    );
  });

  test("on this machine HOME decides", () => {
    expect(resolveDirs({ HOME: "/home/somebody" }).config).toBe("/home/somebody/.config/mx-agent");
  });
});

describe("private directories", () => {
  const refused = (detail: string) =>
    expect.objectContaining({ code: "MX_INSECURE_PATH", message: expect.stringContaining(detail) });

  test("are made with 0700, parents too, whatever the umask, and made again without complaint", () => {
    const home = temporaryDir();
    const dirs = resolveDirs({ MX_AGENT_HOME: join(home, "a", "b") });
    const before = process.umask(0);
    try {
      ensurePrivateDirs(dirs);
    } finally {
      process.umask(before);
    }
    for (const path of [...Object.values(dirs), join(home, "a")])
      expect(statSync(path).mode & 0o777, path).toBe(0o700);
    ensurePrivateDirs(dirs);
  });

  test("that others may enter are refused, and left as they are", () => {
    for (const mode of [0o755, 0o750, 0o701, 0o770]) {
      const path = join(temporaryDir(), "open");
      mkdirSync(path);
      chmodSync(path, mode);
      expect(() => ensurePrivateDir(path)).toThrow(refused("can be entered by others"));
      expect(statSync(path).mode & 0o777).toBe(mode);
    }
  });

  test("that another user owns are refused", () => {
    const path = join(temporaryDir(), "theirs");
    mkdirSync(path, { mode: 0o700 });
    const somebodyElse = statSync(path).uid + 1;
    expect(() => ensurePrivateDir(path, somebodyElse)).toThrow(refused("belongs to uid"));
  });

  test("that are symbolic links, dangling ones too, or files are refused", () => {
    const home = temporaryDir();
    mkdirSync(join(home, "real"), { mode: 0o700 });
    symlinkSync(join(home, "real"), join(home, "link"));
    symlinkSync(join(home, "nowhere"), join(home, "dangling"));
    writeFileSync(join(home, "file"), "");
    expect(() => ensurePrivateDir(join(home, "link"))).toThrow(refused("is a symbolic link"));
    expect(() => ensurePrivateDir(join(home, "dangling"))).toThrow(refused("is a symbolic link"));
    expect(() => ensurePrivateDir(join(home, "file"))).toThrow(refused("is not a directory"));
    expect(existsSync(join(home, "nowhere"))).toBe(false);
  });

  test("below a directory that everybody may write are refused, below a sticky one not", () => {
    const above = join(temporaryDir(), "above");
    mkdirSync(above);
    chmodSync(above, 0o777);
    expect(() => ensurePrivateDir(join(above, "ours"))).toThrow(refused("can be written by others"));
    chmodSync(above, 0o1777);
    ensurePrivateDir(join(above, "ours"));
  });

  test("below a link are judged by where it leads", () => {
    const home = temporaryDir();
    mkdirSync(join(home, "real"));
    symlinkSync(join(home, "real"), join(home, "link"));
    ensurePrivateDir(join(home, "link", "ours"));
    chmodSync(join(home, "real"), 0o777);
    expect(() => ensurePrivateDir(join(home, "link", "ours"))).toThrow(refused("can be written by others"));
  });

  test("that cannot be made are an error that names them", () => {
    const home = temporaryDir();
    writeFileSync(join(home, "file"), "");
    expect(() => ensurePrivateDir(join(home, "file", "below"))).toThrow(
      expect.objectContaining({ code: "MX_CANNOT_WRITE", message: expect.stringContaining("file/below") }),
    );
  });
});

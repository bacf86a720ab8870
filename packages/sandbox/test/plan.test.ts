import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  isWithin,
  type MachineCapabilities,
  planSandbox,
  type SandboxContext,
  type SandboxRequest,
} from "../src/index.ts";

type Bubblewrap = Extract<SandboxRequest, { backend: "bubblewrap" }>;

const capabilities: MachineCapabilities = {
  bubblewrap: {
    available: true,
    path: "/usr/bin/bwrap",
    version: "0.8.0",
    features: ["bind_fd", "disable_userns", "size"],
  },
  limits: { kind: "watch", reason: "a test" },
};

const context = (more: Partial<SandboxContext> = {}): SandboxContext => ({
  executable: { path: "/usr/bin/git", dev: 1, ino: 2 },
  argv: ["/usr/bin/git", "status"],
  cwd: { path: "/srv/project/sub", dev: 1, ino: 3 },
  env: { HOME: "/home/alice", CI: "1" },
  uid: 1000,
  capabilities,
  kindOf: () => "directory",
  private_bytes: 1000,
  ...more,
});

const request = (more: Partial<Bubblewrap> = {}): Bubblewrap => ({
  backend: "bubblewrap",
  network: "deny",
  writable_paths: ["/srv/project"],
  read_only_paths: ["/home/alice/.cargo"],
  hidden_paths: ["/home/alice/.config/mx-agent", "/run/user/1000/mx-agent"],
  ...more,
});

const plan = (asked: SandboxRequest = request(), given = context()) => {
  const made = planSandbox(asked, given);
  if ("refused" in made) throw new Error(made.refused.message);
  return made;
};

const refusal = (asked: SandboxRequest, given = context()) => {
  const made = planSandbox(asked, given);
  return "refused" in made ? made.refused.code : "planned";
};

/** The arguments of one option, in order of appearance. */
const uses = (options: string[] | null, option: string, count: number) =>
  (options ?? []).flatMap((one, at) =>
    one === option ? [(options ?? []).slice(at + 1, at + 1 + count)] : [],
  );

describe("no sandbox", () => {
  it("is the command itself, where it was asked to run", () => {
    expect(planSandbox({ backend: "none" }, context())).toEqual({
      file: "/usr/bin/git",
      argv: ["/usr/bin/git", "status"],
      env: { HOME: "/home/alice", CI: "1" },
      cwd: { path: "/srv/project/sub", dev: 1, ino: 3 },
      opened: [],
      options: null,
    });
  });
});

describe("under bubblewrap", () => {
  it("everything is unshared, nothing is kept, and it dies with the runner", () => {
    const { options } = plan();
    for (const option of [
      "--unshare-all",
      "--unshare-user",
      "--disable-userns",
      "--die-with-parent",
      "--new-session",
      "--clearenv",
    ])
      expect(options).toContain(option);
    expect(uses(options, "--cap-drop", 1)).toEqual([["ALL"]]);
    expect(options).not.toContain("--share-net");
    expect(plan(request({ network: "allow" })).options).toContain("--share-net");
  });

  it("the environment is on no command line and not in the launcher's own", () => {
    const made = plan(request(), context({ env: { SECRET: "value", LD_PRELOAD: "/x.so" } }));
    expect(made.argv.join(" ")).not.toContain("value");
    expect(made.env).toEqual({});
    expect(uses(made.options, "--setenv", 2)).toEqual([
      ["SECRET", "value"],
      ["LD_PRELOAD", "/x.so"],
    ]);
  });

  it("the project is writable, what was listed is readable, both by opened directories", () => {
    const { options, opened } = plan();
    const pathOf = (fd: string | undefined) => opened.find((one) => one.fd === Number(fd))?.path;
    const bound = (option: string) => uses(options, option, 2).map(([fd, to]) => [pathOf(fd), to]);
    expect(bound("--bind-fd")).toEqual([
      ["/srv/project", "/srv/project"],
      ["/srv/project/sub", "/srv/project/sub"],
    ]);
    expect(bound("--ro-bind-fd")).toEqual([
      ["/home/alice/.cargo", "/home/alice/.cargo"],
      ["/usr/bin/git", "/usr/bin/git"],
    ]);
    expect(opened.find((one) => one.path === "/srv/project/sub")?.identity).toEqual(context().cwd);
    expect(opened.find((one) => one.path === "/usr/bin/git")?.identity).toEqual(context().executable);
  });

  it("HOME and /tmp are empty before anything of the policy is shown in them", () => {
    const { options } = plan();
    const home = options?.indexOf("/home/alice") ?? -1;
    expect(options?.slice(home - 3, home + 1)).toEqual(["--size", "1000", "--tmpfs", "/home/alice"]);
    expect(home).toBeLessThan(options?.indexOf("/home/alice/.cargo") ?? -1);
  });

  it("a working directory that no path makes writable is shown read-only", () => {
    const { options } = plan(request({ writable_paths: [] }));
    expect(uses(options, "--bind-fd", 2)).toEqual([]);
    expect(uses(options, "--ro-bind-fd", 2).map(([, to]) => to)).toContain("/srv/project/sub");
  });

  describe("a directory that lies deeper decides, and the working directory is in its place among them", () => {
    const mounts = (lists: Partial<Bubblewrap>, at: string) => {
      const cwd = { path: at, dev: 1, ino: 3 };
      const { options, opened } = plan(request({ read_only_paths: [], ...lists }), context({ cwd }));
      const shown = (options ?? []).flatMap((option, index) =>
        ["--bind-fd", "--ro-bind-fd"].includes(option)
          ? [`${option === "--bind-fd" ? "write" : "read"} ${options?.[index + 2]}`]
          : [],
      );
      expect(opened.filter((one) => one.path === at)).toEqual([expect.objectContaining({ identity: cwd })]);
      return shown.filter((one) => !one.endsWith("/usr/bin/git"));
    };

    it("for a read-only path in a writable project", () => {
      const lists = { read_only_paths: ["/srv/project/.git"] };
      const both = ["write /srv/project", "read /srv/project/.git"];
      expect(mounts(lists, "/srv/project")).toEqual(both);
      expect(mounts(lists, "/srv/project/.git")).toEqual(both);
      expect(mounts(lists, "/srv/project/.git/hooks")).toEqual([...both, "read /srv/project/.git/hooks"]);
      expect(mounts(lists, "/srv/project/src")).toContain("write /srv/project/src");
      expect(mounts(lists, "/srv/project.git")).toContain("read /srv/project.git");
    });

    it("for a writable path in a read-only project", () => {
      const lists = { writable_paths: ["/srv/project/build"], read_only_paths: ["/srv/project"] };
      const both = ["read /srv/project", "write /srv/project/build"];
      expect(mounts(lists, "/srv/project")).toEqual(both);
      expect(mounts(lists, "/srv/project/build")).toEqual(both);
      expect(mounts(lists, "/srv")).toEqual(["read /srv", ...both]);
      expect(mounts(lists, "/srv/project/src")).toContain("read /srv/project/src");
    });

    it("for a read-only path further down, whose directories cannot be moved away", () => {
      expect(mounts({ read_only_paths: ["/srv/project/a/b/c"] }, "/srv/project")).toEqual([
        "write /srv/project",
        "write /srv/project/a",
        "write /srv/project/a/b",
        "read /srv/project/a/b/c",
      ]);
    });
  });

  it("the sandbox's own /tmp and HOME stand for the machine's, as working directories too", () => {
    for (const path of ["/tmp", "/home/alice"]) {
      const { opened } = plan(request(), context({ cwd: { path, dev: 1, ino: 9 } }));
      expect(opened.map((one) => one.path)).not.toContain(path);
    }
  });

  it("a HOME that is part of the system is left as it is", () => {
    for (const HOME of ["/", "/usr/share/x", "/etc", "relative", "/proc", "/run"]) {
      const { options } = plan(request({ read_only_paths: [] }), context({ env: { HOME } }));
      expect(uses(options, "--tmpfs", 1).flat()).not.toContain(HOME);
    }
  });

  it("a service account's HOME in the system is empty, unless its program is there or the policy shows it", () => {
    const isEmpty = (HOME: string, lists: Partial<Bubblewrap> = {}, more: Partial<SandboxContext> = {}) => {
      const { options } = plan(request(lists), context({ env: { HOME, PATH: "/usr/bin" }, ...more }));
      return uses(options, "--tmpfs", 1).flat().includes(HOME);
    };
    for (const home of ["/opt/service", "/opt/home/alice", "/usr/home/alice", "/etc/service"])
      expect(isEmpty(home), home).toBe(true);
    for (const home of ["/opt", "/usr/sbin", "/usr/lib/news", "/usr/local", "/etc"])
      expect(isEmpty(home), home).toBe(false);
    expect(isEmpty("/opt/service", { read_only_paths: ["/opt/service/tools"] })).toBe(true);
    expect(isEmpty("/opt/service", { read_only_paths: ["/opt/service"] })).toBe(false);
    expect(isEmpty("/opt/service", {}, { env: { HOME: "/opt/service", PATH: "/opt/service/bin" } })).toBe(
      false,
    );
    const executable = { path: "/opt/service/bin/tool", dev: 1, ino: 8 };
    expect(isEmpty("/opt/service", {}, { executable })).toBe(false);
    expect(isEmpty("/opt/service", {}, { kindOf: () => "missing" })).toBe(false);
  });

  it("a hidden path inside of the system view is covered", () => {
    const kindOf = (path: string) => (path.endsWith(".key") ? "file" : "directory");
    const { options } = plan(
      request({ hidden_paths: ["/etc/mx-agent", "/opt/mx/one.key"] }),
      context({ kindOf }),
    );
    expect(uses(options, "--tmpfs", 1).flat()).toContain("/etc/mx-agent");
    expect(uses(options, "--ro-bind", 2)).toContainEqual(["/dev/null", "/opt/mx/one.key"]);
  });

  it("root does not see what only root may", () => {
    expect(plan(request(), context({ uid: 0 })).options).toContain("/etc/ssl/private");
    expect(plan().options).not.toContain("/etc/ssl/private");
  });

  it("another name is given as argv[0] where the launcher can, and by a link where it can't", () => {
    const argv = ["ls", "-l"];
    const executable = { path: "/usr/bin/busybox", dev: 1, ino: 4 };
    const byLink = plan(request(), context({ argv, executable }));
    expect(byLink.argv.slice(-2)).toEqual(["/run/mx-agent-argv0/ls", "-l"]);
    expect(uses(byLink.options, "--symlink", 2)).toEqual([["/usr/bin/busybox", "/run/mx-agent-argv0/ls"]]);
    const newer: MachineCapabilities = {
      ...capabilities,
      bubblewrap: {
        available: true,
        path: "/usr/bin/bwrap",
        version: "0.11",
        features: ["bind_fd", "disable_userns", "argv0"],
      },
    };
    const byOption = plan(request(), context({ argv, executable, capabilities: newer }));
    expect(uses(byOption.options, "--argv0", 1)).toEqual([["ls"]]);
    expect(byOption.argv.slice(-2)).toEqual(["/usr/bin/busybox", "-l"]);
  });
});

describe("a sandbox that would not hold is refused", () => {
  it("where bubblewrap is missing, can't bind a directory by descriptor, or lets a command make namespaces", () => {
    const missing = { ...capabilities, bubblewrap: { available: false, reason: "not there" } } as const;
    expect(refusal(request(), context({ capabilities: missing }))).toBe("SANDBOX_UNAVAILABLE");
    for (const features of [[], ["bind_fd"], ["disable_userns"]] as const) {
      const old: MachineCapabilities = {
        ...capabilities,
        bubblewrap: { available: true, path: "/b", version: "0.6.1", features },
      };
      expect(refusal(request(), context({ capabilities: old }))).toBe("SANDBOX_UNAVAILABLE");
    }
  });

  it("when a path shows, or lies in, a hidden one", () => {
    for (const path of [
      "/home/alice",
      "/home",
      "/home/alice/.config/mx-agent",
      "/home/alice/.config/mx-agent/x",
      "/run",
      "/",
    ]) {
      expect(refusal(request({ writable_paths: [path] })), path).toBe("SANDBOX_PATH");
      expect(refusal(request({ read_only_paths: [path] })), path).toBe("SANDBOX_PATH");
      if (path !== "/home/alice")
        expect(refusal(request(), context({ cwd: { path, dev: 1, ino: 1 } })), path).toBe("SANDBOX_PATH");
    }
  });

  it("when a path is the kernel's", () => {
    for (const path of ["/proc", "/proc/sys", "/dev", "/sys", "/sys/fs/cgroup"])
      expect(refusal(request({ writable_paths: [path], hidden_paths: [] })), path).toBe("SANDBOX_PATH");
  });

  it("when it hides the program", () => {
    const executable = { path: "/home/alice/.nvm/bin/node", dev: 1, ino: 1 };
    expect(refusal(request(), context({ executable }))).toBe("SANDBOX_HIDES_PROGRAM");
    expect(refusal(request({ read_only_paths: ["/home/alice/.nvm"] }), context({ executable }))).toBe(
      "planned",
    );
  });

  it("whatever the paths are: nothing hidden is ever under something that is shown", () => {
    const part = fc.constantFrom("a", "b", "c", "usr", "etc", "home", "run", "srv");
    const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join("/")}`);
    fc.assert(
      fc.property(fc.array(path), fc.array(path), fc.array(path), path, (writable, readable, hidden, cwd) => {
        const asked = request({ writable_paths: writable, read_only_paths: readable, hidden_paths: hidden });
        const made = planSandbox(asked, context({ cwd: { path: cwd, dev: 1, ino: 1 } }));
        if ("refused" in made) return;
        const covered = [...uses(made.options, "--tmpfs", 1).flat()];
        const shown = [
          ...uses(made.options, "--ro-bind", 2).map(([from]) => from ?? ""),
          ...made.opened.map((one) => one.path),
        ];
        for (const one of hidden)
          expect(shown.some((path) => isWithin(one, path)) && !covered.includes(one), `${one} is shown`).toBe(
            false,
          );
      }),
      { numRuns: 2000 },
    );
  });
});

import type { Machine } from "../../src/index.ts";

/**
 * A machine on paper: directories, and files with what they really are. Inodes are made of the paths,
 * so that two machines with the same files agree.
 */
export function paperMachine(options: {
  /** path of a command, without links in its directory → the real file behind it (itself when ""). */
  commands?: Record<string, string>;
  directories?: string[];
  /** link → directory. */
  links?: Record<string, string>;
  path?: string;
  private_paths?: string[];
}): Machine {
  const commands = new Map(Object.entries(options.commands ?? {}));
  const directories = new Set(options.directories ?? []);
  const links = new Map(Object.entries(options.links ?? {}));
  const identity = (path: string) => ({ path, dev: 1, ino: inode(path) });

  const real = (path: string): string => {
    const segments: string[] = [];
    for (const segment of path.split("/")) {
      if (segment === "" || segment === ".") continue;
      if (segment === "..") segments.pop();
      else segments.push(segment);
      const link = links.get(`/${segments.join("/")}`);
      if (link !== undefined)
        segments.splice(0, segments.length, ...link.split("/").filter((part) => part !== ""));
    }
    return `/${segments.join("/")}`;
  };
  const inspect = (path: string) => {
    const slash = path.lastIndexOf("/");
    const directory = real(path.slice(0, slash));
    const named = `${directory === "/" ? "" : directory}/${path.slice(slash + 1)}`;
    const behind = commands.get(named);
    return behind === undefined ? null : { path: named, target: identity(behind === "" ? named : behind) };
  };
  const path = options.path ?? "/usr/bin:/bin";
  return {
    home: "/home/operator",
    path,
    private_paths: options.private_paths ?? [],
    resolveCommand(name, cwd) {
      if (name.startsWith("/")) return inspect(name);
      if (name.includes("/")) return cwd === null ? null : inspect(`${cwd}/${name}`);
      for (const directory of path.split(":")) {
        const found = inspect(`${directory}/${name}`);
        if (found) return found;
      }
      return null;
    },
    resolveDirectory(wanted) {
      const found = real(wanted);
      return wanted.startsWith("/") && directories.has(found) ? identity(found) : null;
    },
  };
}

function inode(path: string): number {
  let sum = 7;
  for (const char of path) sum = (sum * 31 + char.charCodeAt(0)) % 1_000_000_007;
  return sum;
}

/** Debian-like, with a project, a toolbox whose commands are one binary, and a link out of the project. */
export const machine = paperMachine({
  commands: {
    "/usr/bin/git": "",
    "/usr/bin/npm": "/usr/lib/node_modules/npm/bin/npm-cli.js",
    "/usr/bin/sh": "/usr/bin/dash",
    "/usr/bin/dash": "",
    "/usr/bin/busybox": "",
    "/usr/bin/ls": "/usr/bin/busybox",
    "/usr/bin/ash": "/usr/bin/busybox",
    "/usr/bin/pgrep": "",
    "/usr/bin/pkill": "/usr/bin/pgrep",
    "/tmp/git": "",
    "/srv/project/git": "/usr/bin/git",
    "/srv/project/run.sh": "",
  },
  directories: [
    "/srv",
    "/srv/project",
    "/srv/project/deep",
    "/srv/project-old",
    "/etc",
    "/tmp",
    "/",
    "/home/operator/code",
  ],
  links: { "/bin": "/usr/bin", "/srv/project/out": "/etc", "/srv/link": "/srv/project" },
});

/**
 * What Node does not offer and libc does: becoming a subreaper, reaping adopted processes, real
 * pipes, the uid behind a socket, resource limits. Linux only; elsewhere, or where the native module
 * cannot be loaded, `openNative` says why and the runner works without, as well as it can.
 */
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";

const PR_SET_PDEATHSIG = 1;
const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
const O_CLOEXEC = 0o2000000;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const F_SETPIPE_SZ = 1031;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

export const RLIMIT = { file_size: 1, locks: 10 } as const;

export interface Limit {
  soft: number;
  hard: number;
}

export interface Native {
  /** Processes whose parent ends become our children from now on. Kept over execve. */
  becomeSubreaper(): boolean;
  /** This process gets `signal` (a number) when its parent ends. */
  signalOnParentDeath(signal: number): boolean;
  /** Takes the exit status of one child, if it has ended. True when it was there to be taken. */
  reap(pid: number): boolean;
  /** No descriptor that this process inherited goes on to a child, standard streams excepted. */
  closeInheritedOnExec(): void;
  /** A pipe, closed on exec, as large as the system lets us have it, up to 1 MiB. */
  pipe(): { read: number; write: number };
  /** Who is at the other end of a Unix socket; null when the kernel does not say. */
  peer(fd: number): { pid: number; uid: number } | null;
  /** Reads a resource limit of a process (0: this one), and sets it when `next` is given. */
  limit(pid: number, resource: number, next?: Limit): Limit | null;
}

type Koffi = typeof import("koffi");

/** Loads libc. A string is the reason why it cannot be had. */
export function openNative(): Native | string {
  if (process.platform !== "linux") return `no subreaper on ${process.platform}`;
  try {
    const koffi: Koffi = createRequire(import.meta.url)("koffi");
    return bind(koffi);
  } catch (error) {
    return `koffi cannot be loaded: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function bind(koffi: Koffi): Native {
  const libc = koffi.load(null);
  const rlimit = koffi.struct({ soft: "uint64", hard: "uint64" });
  const prctl = libc.func("prctl", "int", ["int", "ulong", "ulong", "ulong", "ulong"]);
  const waitpid = libc.func("waitpid", "int", ["int", "void *", "int"]);
  const pipe2 = libc.func("pipe2", "int", [koffi.out(koffi.pointer("int")), "int"]);
  const fcntl = libc.func("fcntl", "int", ["int", "int", "..."]);
  const getsockopt = libc.func("getsockopt", "int", ["int", "int", "int", "void *", "void *"]);
  const prlimit = libc.func("prlimit64", "int", [
    "int",
    "int",
    koffi.pointer(rlimit),
    koffi.out(koffi.pointer(rlimit)),
  ]);
  return {
    becomeSubreaper: () => prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) === 0,
    signalOnParentDeath: (signal) => prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) === 0,
    reap: (pid) => waitpid(pid, null, WNOHANG) === pid,
    closeInheritedOnExec() {
      for (const fd of readdirSync("/proc/self/fd").map(Number))
        if (fd > 2) fcntl(fd, F_SETFD, "int", FD_CLOEXEC);
    },
    pipe() {
      const ends = [-1, -1];
      if (pipe2(ends, O_CLOEXEC) !== 0) throw new Error(`pipe2 failed with errno ${koffi.errno()}`);
      const [read = -1, write = -1] = ends;
      // Unprivileged users have a quota of pipe memory; the default size works too.
      fcntl(write, F_SETPIPE_SZ, "int", 1024 * 1024);
      return { read, write };
    },
    peer(fd) {
      const credentials = Buffer.alloc(12);
      const size = Buffer.alloc(4);
      size.writeInt32LE(12);
      if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, size) !== 0) return null;
      return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4) };
    },
    limit(pid, resource, next) {
      const before = { soft: 0, hard: 0 };
      if (prlimit(pid, resource, next ?? null, before) !== 0) return null;
      // Beyond 2^53, which "no limit" is, koffi answers with a bigint.
      return { soft: Number(before.soft), hard: Number(before.hard) };
    },
  };
}

/** Who is at the other end of a Unix socket, as the kernel says it: Node has no call for it. */
import { createRequire } from "node:module";
import type { PeerCredentials } from "@mx-agent/ipc/server";

/** Reads the credentials of the process that connected; null where the system does not tell. */
export type PeerLookup = (fd: number) => PeerCredentials | null;

/** `int getsockopt(int fd, int level, int name, void *value, socklen_t *length)`, 0 on success. */
type GetSockOpt = (fd: number, level: number, name: number, value: Buffer, length: Buffer) => number;

/**
 * Loads the native part. Linux: SO_PEERCRED (unix(7)), the process at the time of connect. macOS:
 * LOCAL_PEERCRED for the uid and LOCAL_PEERPID for the pid. Elsewhere, or where the native part
 * cannot be loaded, an error: without it nobody could be told apart.
 */
export function loadPeerLookup(platform: NodeJS.Platform = process.platform): PeerLookup {
  const getsockopt = loadGetSockOpt();
  if (platform === "linux") return (fd) => linuxPeer(getsockopt, fd);
  if (platform === "darwin") return (fd) => darwinPeer(getsockopt, fd);
  throw new Error(`no peer credentials on ${platform}`);
}

/** struct ucred { pid_t pid; uid_t uid; gid_t gid; } */
function linuxPeer(getsockopt: GetSockOpt, fd: number): PeerCredentials | null {
  const SOL_SOCKET = 1;
  const SO_PEERCRED = 17;
  const ucred = read(getsockopt, fd, SOL_SOCKET, SO_PEERCRED, 12);
  if (ucred === null || ucred.length < 12) return null;
  const pid = ucred.readInt32LE(0);
  // 0: a process of another PID namespace, which has no number here.
  return { uid: ucred.readUInt32LE(4), pid: pid > 0 ? pid : null };
}

/** struct xucred { u_int cr_version; uid_t cr_uid; short cr_ngroups; gid_t cr_groups[16]; } */
function darwinPeer(getsockopt: GetSockOpt, fd: number): PeerCredentials | null {
  const SOL_LOCAL = 0;
  const LOCAL_PEERCRED = 1;
  const LOCAL_PEERPID = 2;
  const xucred = read(getsockopt, fd, SOL_LOCAL, LOCAL_PEERCRED, 76);
  if (xucred === null || xucred.length < 8 || xucred.readUInt32LE(0) !== 0) return null;
  const pid = read(getsockopt, fd, SOL_LOCAL, LOCAL_PEERPID, 4);
  return { uid: xucred.readUInt32LE(4), pid: pid === null ? null : pid.readInt32LE(0) };
}

function read(getsockopt: GetSockOpt, fd: number, level: number, name: number, bytes: number): Buffer | null {
  const value = Buffer.alloc(bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes, 0);
  return getsockopt(fd, level, name, value, length) === 0 ? value.subarray(0, length.readUInt32LE(0)) : null;
}

function loadGetSockOpt(): GetSockOpt {
  const koffi: typeof import("koffi") = createRequire(import.meta.url)("koffi");
  const call: (...args: unknown[]) => unknown = koffi
    .load(null)
    .func("int getsockopt(int fd, int level, int name, void *value, _Inout_ void *length)");
  return (fd, level, name, value, length) => Number(call(fd, level, name, value, length));
}

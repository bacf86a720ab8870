import { closeSync, readdirSync, readFileSync, statSync } from "node:fs";

/** O_CLOEXEC of fcntl(2), as /proc shows it. */
const CLOSE_ON_EXEC = 0o2000000;
/** O_ACCMODE; 0 in it is O_RDONLY. */
const ACCESS_MODE = 0o3;

/**
 * Closes what our caller left open in us beyond stdin, stdout and stderr, so that no process that we
 * start keeps it open for months. Node closes the low numbers by itself; a shell's pipes are above. Ours
 * are close-on-exec, which tells them apart, but for files that OpenSSL reads in a thread of its own
 * (NODE_EXTRA_CA_CERTS): what is only read from a file is left alone. Where there is no /proc, nothing
 * can be known.
 */
export function closeInherited(): void {
  for (const name of list()) {
    const fd = Number(name);
    if (fd > 2 && isInherited(name)) closeSync(fd);
  }
}

function list(): string[] {
  try {
    return readdirSync("/proc/self/fdinfo");
  } catch {
    return [];
  }
}

function isInherited(name: string): boolean {
  try {
    const info = readFileSync(`/proc/self/fdinfo/${name}`, "utf8");
    const flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? "0", 8);
    if ((flags & CLOSE_ON_EXEC) !== 0) return false;
    const onlyRead = (flags & ACCESS_MODE) === 0;
    return !(onlyRead && statSync(`/proc/self/fd/${name}`).isFile());
  } catch {
    // The descriptor of the listing itself, or of a file that was read meanwhile: closed by now.
    return false;
  }
}

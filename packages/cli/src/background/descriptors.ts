import { closeSync, readdirSync, readFileSync } from "node:fs";

/** O_CLOEXEC of fcntl(2), as /proc shows it. */
const CLOSE_ON_EXEC = 0o2000000;

/**
 * Closes what our caller left open in us beyond stdin, stdout and stderr, so that no process that we
 * start keeps it open for months. Node closes the low numbers by itself; a shell's pipes are above. Ours
 * are all close-on-exec, which tells them apart. Where there is no /proc, nothing can be known.
 */
export function closeInherited(): void {
  for (const name of list()) {
    const fd = Number(name);
    if (fd > 2 && !closesOnExec(name)) closeSync(fd);
  }
}

function list(): string[] {
  try {
    return readdirSync("/proc/self/fdinfo");
  } catch {
    return [];
  }
}

function closesOnExec(name: string): boolean {
  let info: string;
  try {
    info = readFileSync(`/proc/self/fdinfo/${name}`, "utf8");
  } catch {
    // The descriptor of the listing itself, closed by now.
    return true;
  }
  const flags = /^flags:\s*([0-7]+)/m.exec(info)?.[1];
  return flags === undefined || (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) !== 0;
}

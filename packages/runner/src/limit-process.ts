import type { RunLimits } from "./api.ts";
import { StartFailure } from "./identity.ts";
import { type Native, RLIMIT } from "./native.ts";

/** Sets what the kernel limits for each process, on one whose descendants will inherit it. Throws StartFailure. */
export function limitProcess(pid: number, limits: RunLimits, native: Native | string): void {
  const size = limits.max_file_bytes;
  if (size === null) return;
  if (typeof native === "string")
    throw new StartFailure("LIMIT_UNAVAILABLE", `the size of files cannot be limited here: ${native}`);
  // Hard as well: who may not raise it again has it for good.
  if (native.limit(pid, RLIMIT.file_size, { soft: size, hard: size }) === null)
    throw new StartFailure("LIMIT_UNAVAILABLE", "the kernel does not let the size of files be limited");
}

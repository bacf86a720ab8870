/**
 * How Node runs a homeserver: with these, the memory of a process that has seen a hundred thousand events is that of
 * one that has seen a thousand, at the same speed (packages/homeserver/bench/growth.bench.ts); as it is, it doubles.
 * It is no leak: V8 lets its young generation grow while requests come quickly, and never gives that back; it lets its old
 * one grow to four times what is alive before it collects, where it may have gigabytes, and to less than twice where it may
 * have one; and glibc keeps what Node's threads have freed in an arena for each of them.
 *
 * All are read when a process starts, so a homeserver can't set them for itself: whoever starts one does.
 */
const NODE_FLAGS = ["--max-semi-space-size=4", "--max-old-space-size=1024"] as const;
const ENVIRONMENT = { MALLOC_ARENA_MAX: "1" } as const;

/**
 * What starts a process for a homeserver. `args` is what Node is given besides: options, the program, its arguments.
 * What the operator chose, by an option or in `env`, wins.
 */
export function homeserverProcess(
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): { readonly file: string; readonly args: string[]; readonly env: NodeJS.ProcessEnv } {
  return { file: process.execPath, args: [...NODE_FLAGS, ...args], env: { ...ENVIRONMENT, ...env } };
}

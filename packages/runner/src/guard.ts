/**
 * The runner's parent: a shell of one megabyte that does nothing but wait. Everything that descends from
 * a run is adopted by the runner, and when that is killed, by this guard, which ends it all: whatever
 * called setsid, and whoever else is dead at that moment. Subreaping is kept over execve, so the Node
 * process that was started becomes the guard.
 */
import type { Native } from "./native.ts";

const GUARDED = "MX_AGENT_RUNNER_GUARD";

/** SIGTERM, by number, as prctl(2) wants it. */
const SIGTERM = 15;

/**
 * Runs the worker; then kills its children's children until none is left, or for 15 s where something
 * can't be killed. A killed process's own children are the guard's next.
 */
const SCRIPT = `
trap '' HUP INT
"$@"
status=$?
rounds=0
while [ $rounds -lt 750 ]; do
  children=
  read -r children < /proc/$$/task/$$/children
  [ -n "$children" ] || break
  kill -STOP $children 2>/dev/null
  kill -KILL $children 2>/dev/null
  rounds=$((rounds + 1))
  sleep 0.02
done
exit $status
`;

/** Whether this process is the worker below a guard. From then on it ends when the guard does. */
export function isGuarded(): boolean {
  return process.env[GUARDED] === String(process.ppid);
}

/** Ends this process gently when its guard is killed. */
export function followGuard(native: Native): void {
  if (isGuarded()) native.signalOnParentDeath(SIGTERM);
}

/** Replaces this process by the guard, with this same command as its worker. Does not return. */
export function becomeGuard(native: Native): void {
  if (!native.becomeSubreaper() || process.execve === undefined) return;
  const worker = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const env = { ...process.env, [GUARDED]: String(process.pid) };
  process.execve("/bin/sh", ["sh", "-c", SCRIPT, "mx-agent-runner-guard", ...worker], env);
}

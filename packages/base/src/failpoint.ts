import { appendFileSync } from "node:fs";

/**
 * Named places at which a test may end the process with SIGKILL: before and after every durable
 * write and every send. MX_AGENT_FAILPOINT=`name` kills at the first passage, `name:n` at the n-th;
 * `name:n:stop` stops the process there until somebody lets it go on; `trace:FILE` ends nothing, and
 * writes down when each was passed, for the benchmarks.
 * Costs one comparison where the variable is not set. Never set it outside tests.
 */
const target = process.env.MX_AGENT_FAILPOINT;
const [wanted, count, how] = (target ?? "").split(":");
let passages = 0;

export function failpoint(name: string): void {
  if (target === undefined) return;
  if (wanted === "trace") note(name, count ?? "/dev/null");
  if (name !== wanted) return;
  passages++;
  const passage = Number(count ?? "1");
  if (how === "stop" && passages === passage) process.kill(process.pid, "SIGSTOP");
  if (how === undefined && passages >= passage) process.kill(process.pid, "SIGKILL");
}

/** One line: process, place, and microseconds of a clock that all processes share. */
function note(name: string, file: string): void {
  appendFileSync(file, `${process.pid} ${name} ${process.hrtime.bigint() / 1000n}\n`);
}

/**
 * Named places at which a test may end the process with SIGKILL: before and after every durable
 * write and every send. MX_AGENT_FAILPOINT=`name` kills at the first passage, `name:n` at the n-th.
 * Costs one comparison where the variable is not set. Never set it outside tests.
 */
const target = process.env.MX_AGENT_FAILPOINT;
const [wanted, count] = (target ?? "").split(":");
let passages = 0;

export function failpoint(name: string): void {
  if (target === undefined || name !== wanted) return;
  passages++;
  if (passages >= Number(count ?? "1")) process.kill(process.pid, "SIGKILL");
}

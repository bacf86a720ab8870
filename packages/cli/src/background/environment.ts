/** For a process that lives for months: a password in our environment is for one login. */
export function withoutPassword(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { MX_AGENT_PASSWORD: _, ...rest } = env;
  return rest;
}

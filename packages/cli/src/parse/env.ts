import { isSecretName, mxError } from "@mx-agent/base";

/** `K=V` pairs as an object; the last of a name counts. MX_USAGE for what is no pair. */
export function parseEnv(pairs: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const name = at < 0 ? pair : pair.slice(0, at);
    if (at < 1 || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw mxError("MX_USAGE", { detail: `--env ${name || pair}: write NAME=VALUE`, command: "exec" });
    // In an object it is no name: it would be lost on the way without a word.
    if (name === "__proto__")
      throw mxError("MX_USAGE", { detail: "--env __proto__: that name cannot be sent", command: "exec" });
    env[name] = pair.slice(at + 1);
  }
  return env;
}

/** MX_USAGE for a name on the list of secrets: they never travel to another machine. */
export function refuseSecrets(env: Record<string, string>): void {
  const name = Object.keys(env).find(isSecretName);
  if (name !== undefined)
    throw mxError("MX_USAGE", {
      detail: `--env ${name}: a name that looks like a secret's is never sent to another machine`,
      command: "exec",
    });
}

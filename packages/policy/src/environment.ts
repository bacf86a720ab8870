/** Which environment variables a child may have. Names are compared without regard to case. */
import { isSecretName, isSteeringName } from "@mx-agent/base";

/** Names that the child may inherit: the allow-list without secrets. */
export function inheritable(allowlist: readonly string[]): string[] {
  return allowlist.filter((name) => !isSecretName(name));
}

const validName = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function isVariableName(name: string): boolean {
  return validName.test(name);
}

/** Why a requested variable is not let through; null when it is. */
export function refuseVariable(name: string, value: string, allowlist: readonly string[]): string | null {
  if (!isVariableName(name)) return `${JSON.stringify(name)} is no name of a variable`;
  if (value.includes("\0")) return `${name} has a NUL byte`;
  if (isSecretName(name)) return `${name} is a name of secrets`;
  if (isSteeringName(name)) return `${name} could steer which program runs, and never comes from a peer`;
  if (!allowlist.includes(name)) return `${name} is not in env_allowlist`;
  return null;
}

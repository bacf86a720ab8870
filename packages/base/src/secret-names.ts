/** Names whose values are secrets. Compared without regard to case. */

const parts = [
  "token",
  "secret",
  "password",
  "passwd",
  "api_key",
  "apikey",
  "access_key",
  "private_key",
  "credential",
  "authorization",
  "recovery",
  "passphrase",
];
const prefixes = ["aws_", "google_", "azure_", "matrix_", "mx_agent_"];

/**
 * Whether an environment variable of this name is kept from children and from other machines, listed or
 * not: GITHUB_TOKEN, ANTHROPIC_API_KEY, SSH_AUTH_SOCK, AWS_*, MX_AGENT_* and their like.
 */
export function isSecretName(name: string): boolean {
  const lower = name.toLowerCase();
  return (
    lower === "ssh_auth_sock" ||
    lower.endsWith("_key") ||
    parts.some((part) => lower.includes(part)) ||
    prefixes.some((prefix) => lower.startsWith(prefix))
  );
}

const joinedParts = parts.map((part) => part.replaceAll("_", ""));

/**
 * Whether a field, header, option or parameter of this name holds a secret: `accessToken`,
 * `X-Api-Key`, `signing_key`. Public keys and ids of keys do not.
 */
export function isSecretField(name: string): boolean {
  const plain = name.toLowerCase();
  const joined = plain.replace(/[-_.\s]/g, "");
  if (joined.endsWith("publickey")) return false;
  return (
    /[-_]key$/.test(plain) ||
    ["cookie", "setcookie", "seed", "pickle"].includes(joined) ||
    joinedParts.some((part) => joined.includes(part))
  );
}

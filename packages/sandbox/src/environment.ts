import { isSteeringName } from "@mx-agent/base";

/** Variables that every child gets from the daemon's own environment, where it has them. */
const MINIMUM: readonly string[] = [
  "PATH",
  "LANG",
  "LANGUAGE",
  "TERM",
  "TZ",
  "USER",
  "LOGNAME",
  "SHELL",
  "COLORTERM",
];

const FALLBACK: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C.UTF-8",
  TERM: "dumb",
};

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export type DropReason = "secret" | "dangerous" | "not_allowed" | "malformed";

export interface ChildEnvironment {
  env: Record<string, string>;
  /** What was asked for, by the peer or by the allow-list, and is not in `env`. */
  dropped: { name: string; reason: DropReason }[];
}

export interface EnvironmentSources {
  /** The daemon's own environment. */
  base: Readonly<Record<string, string | undefined>>;
  /** Names of the policy (`env_allowlist`): passed on from `base`, and open to the peer. */
  allowlist: readonly string[];
  /** What the request asks for. */
  requested: Readonly<Record<string, string>>;
  /** HOME of the child. */
  home: string;
  /** The secret list (base has it); names on it never reach a child, listed or not. */
  isSecretName: (name: string) => boolean;
}

/** Makes a child's whole environment: the minimum, what the policy lists, what a peer may add. */
export function buildEnvironment(sources: EnvironmentSources): ChildEnvironment {
  const { base, requested, isSecretName } = sources;
  const allowed = new Set(sources.allowlist);
  const env: Record<string, string> = Object.create(null);
  const dropped: ChildEnvironment["dropped"] = [];
  for (const name of new Set([...MINIMUM, ...allowed])) {
    const value = own(base, name) ?? own(FALLBACK, name);
    if (value === undefined || value.includes("\0")) continue;
    if (isSecretName(name)) dropped.push({ name, reason: "secret" });
    else if (NAME.test(name)) env[name] = value;
  }
  for (const [name, value] of Object.entries(base))
    if (/^LC_[A-Z]+$/.test(name) && value !== undefined) env[name] = value;
  env.HOME = sources.home;
  for (const [name, value] of Object.entries(requested)) {
    const reason = refusal(name, value);
    if (reason === undefined) env[name] = value;
    else dropped.push({ name, reason });
  }
  return { env: { ...env }, dropped };

  function refusal(name: string, value: string): DropReason | undefined {
    if (!NAME.test(name) || value.includes("\0")) return "malformed";
    if (isSecretName(name)) return "secret";
    if (isSteeringName(name)) return "dangerous";
    return allowed.has(name) ? undefined : "not_allowed";
  }
}

/** A variable may have the name of something that every object has. */
function own(record: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

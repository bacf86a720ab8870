import { isSecretName, isSteeringName } from "@mx-agent/base";
import { expect, test } from "vitest";
import { decide, loadPolicy } from "../src/index.ts";
import { machine } from "./support/machine.ts";

const secrets =
  `SSH_AUTH_SOCK GITHUB_TOKEN OPENAI_API_KEY ANTHROPIC_API_KEY NPM_TOKEN AWS_REGION GOOGLE_X AZURE_X MATRIX_X
MX_AGENT_X my_token SomeSecret DB_PASSWORD PASSWD XAPIKEY X_ACCESS_KEY PRIVATE_KEY_FILE CREDENTIALS AUTHORIZATION
RECOVERY_X PASSPHRASE DEPLOY_KEY aws_profile`.split(/\s+/);
const steering =
  `LD_PRELOAD LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES PATH NODE_OPTIONS BASH_ENV ENV PYTHONPATH PERL5LIB
PERL5OPT RUBYOPT GIT_SSH_COMMAND GIT_CONFIG_COUNT GIT_EXTERNAL_DIFF JAVA_TOOL_OPTIONS npm_config_script_shell
NPM_CONFIG_PREFIX RUSTC_WRAPPER GLIBC_TUNABLES HOME TMPDIR SHELLOPTS PS4 IFS PAGER EDITOR BASH_FUNC_x ld_preload HTTPS_PROXY http_proxy GOFLAGS MAKEFLAGS LESSOPEN SSH_ASKPASS PYTHONSTARTUP NODE_PATH CC XDG_CONFIG_HOME`.split(
    /\s+/,
  );

function ask(env: Record<string, string>, allowlist: string[]) {
  const text = `version = 1
[execution]
env_allowlist = ${JSON.stringify(allowlist)}
[rooms."!a:x"]
trusted = true
[rooms."!a:x".agents."@u:x"]
allow_exec = true
allow_commands = ["git"]
allow_cwd = ["/srv/project"]
`;
  const request = {
    room_id: "!a:x",
    user_id: "@u:x",
    ask: { kind: "exec" as const, command: ["git"] },
    cwd: "/srv/project",
    env,
    timeout_ms: null,
  };
  return decide(loadPolicy(text, "policy.toml", machine), request, machine);
}

test.each(secrets)("%s is never inherited and never taken from a peer, even if listed", (name) => {
  expect(isSecretName(name)).toBe(true);
  expect(ask({ [name]: "x" }, [name])).toMatchObject({ effect: "deny", reason: "env_override_not_allowed" });
  expect(ask({}, [name, "CI"])).toMatchObject({ effect: "allow", grant: { env_allowlist: ["CI"] } });
});

test.each(steering)("%s is never taken from a peer, even if listed", (name) => {
  expect(isSteeringName(name)).toBe(true);
  expect(ask({ [name]: "x" }, [name])).toMatchObject({ effect: "deny", reason: "env_override_not_allowed" });
});

test("a listed variable is let through as it was asked", () => {
  expect(ask({ CI: "a b\nc" }, ["CI"])).toMatchObject({ effect: "allow", grant: { env: { CI: "a b\nc" } } });
});

test.each([
  ["an unlisted name", { FOO: "1" }],
  ["a name in other letters", { ci: "1" }],
  ["a name with =", { "CI=1\u0000X": "1" }],
  ["an empty name", { "": "1" }],
  ["a NUL byte in the value", { CI: "a\0b" }],
  ["a prototype key", JSON.parse('{"__proto__":"x"}')],
])("%s is refused", (_, env: Record<string, string>) => {
  expect(ask(env, ["CI"])).toMatchObject({ effect: "deny", reason: "env_override_not_allowed" });
});

test("ordinary names are neither secret nor steering", () => {
  for (const name of [
    "CI",
    "NODE_ENV",
    "LANG",
    "LC_ALL",
    "TERM",
    "DEBUG",
    "KEYBOARD",
    "MONKEY",
    "RUST_BACKTRACE",
    "GIT_AUTHOR_NAME",
    "CCX",
  ]) {
    expect([name, isSecretName(name), isSteeringName(name)]).toEqual([name, false, false]);
  }
});

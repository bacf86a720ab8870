import { isSecretName, isSteeringName } from "@mx-agent/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildEnvironment } from "../src/index.ts";

const build = (base: Record<string, string>, allowlist: string[], requested: Record<string, string> = {}) =>
  buildEnvironment({ base, allowlist, requested, home: "/home/agent", isSecretName });

describe("a child's environment", () => {
  it("has a PATH, a HOME, a language and a terminal type, and nothing else of the daemon's", () => {
    expect(build({ PATH: "/bin", EDITOR: "vi", FOO: "1" }, []).env).toEqual({
      PATH: "/bin",
      HOME: "/home/agent",
      LANG: "C.UTF-8",
      TERM: "dumb",
    });
  });

  it("passes on what the policy lists", () => {
    expect(build({ CI: "true", FOO: "1" }, ["CI", "NODE_ENV"]).env).toMatchObject({ CI: "true" });
    expect(build({ CI: "true", FOO: "1" }, ["CI"]).env).not.toHaveProperty("FOO");
  });

  it("takes from a peer what is listed, over the daemon's own value", () => {
    const { env, dropped } = build({ CI: "false" }, ["CI"], { CI: "true", OTHER: "1" });
    expect(env.CI).toBe("true");
    expect(env).not.toHaveProperty("OTHER");
    expect(dropped).toEqual([{ name: "OTHER", reason: "not_allowed" }]);
  });

  it("never has a secret, listed or not, asked for or not", () => {
    const secrets = [
      "GITHUB_TOKEN",
      "MY_SECRET_VALUE",
      "DB_PASSWORD",
      "STRIPE_API_KEY",
      "AWS_REGION",
      "MATRIX_USER",
      "MX_AGENT_HOME",
      "SSH_AUTH_SOCK",
      "OPENAI_API_KEY",
      "deploy_key",
    ];
    const values = Object.fromEntries(secrets.map((name) => [name, "x"]));
    const { env, dropped } = build(values, secrets, values);
    for (const name of secrets) expect(env).not.toHaveProperty(name);
    expect(new Set(dropped.map((one) => one.name))).toEqual(new Set(secrets));
    expect(dropped.every((one) => one.reason === "secret")).toBe(true);
  });

  it("never has from a peer what makes one program another, even listed", () => {
    const names = [
      "LD_PRELOAD",
      "LD_LIBRARY_PATH",
      "DYLD_INSERT_LIBRARIES",
      "PATH",
      "HOME",
      "NODE_OPTIONS",
      "BASH_ENV",
      "ENV",
    ];
    names.push(
      "PYTHONPATH",
      "PYTHONSTARTUP",
      "PERL5LIB",
      "PERL5OPT",
      "RUBYOPT",
      "GIT_SSH_COMMAND",
      "GCONV_PATH",
      "IFS",
    );
    const requested = Object.fromEntries(names.map((name) => [name, "/evil"]));
    const { env, dropped } = build({ PATH: "/bin" }, names, requested);
    expect(Object.values(env)).not.toContain("/evil");
    expect(dropped.map((one) => [one.name, one.reason])).toEqual(names.map((name) => [name, "dangerous"]));
    expect(["CI", "NODE_OPTIONS", "FOO", "LDX"].map(isSteeringName)).toEqual([false, true, false, false]);
  });

  it("is well formed whatever is asked for", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), fc.array(fc.string()), (requested, allowlist) => {
        const { env } = build({ PATH: "/bin" }, [...allowlist, ...Object.keys(requested)], requested);
        for (const [name, value] of Object.entries(env)) {
          expect(name).toMatch(/^[A-Za-z_][A-Za-z0-9_]*$/);
          expect(value).not.toContain("\0");
        }
        expect(env.HOME).toBe("/home/agent");
      }),
    );
  });
});

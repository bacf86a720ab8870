import { isSecretField, isSecretName, maskArgv, maskText, mxError, REDACTED, redact } from "@mx-agent/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

describe("names of secrets", () => {
  test.each([
    "GITHUB_TOKEN",
    "token",
    "DB_PASSWORD",
    "db_passwd",
    "MY_SECRET_VALUE",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "STRIPE_APIKEY",
    "ACCESS_KEY_ID",
    "SSH_PRIVATE_KEY_PATH",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HTTP_AUTHORIZATION",
    "RECOVERY_CODE",
    "GPG_PASSPHRASE",
    "SIGNING_KEY",
    "SSH_AUTH_SOCK",
    "NPM_TOKEN",
    "AWS_REGION",
    "GOOGLE_CLOUD_PROJECT",
    "AZURE_TENANT",
    "MATRIX_HOMESERVER",
    "MX_AGENT_HOME",
  ])("%s never goes to a child, in any case", (name) => {
    expect(isSecretName(name)).toBe(true);
    expect(isSecretName(name.toLowerCase())).toBe(true);
  });

  test.each(["PATH", "HOME", "CI", "NODE_ENV", "LANG", "KEYBOARD", "MONKEY", "KEY_COUNT", "MATRIX"])(
    "%s may",
    (name) => {
      expect(isSecretName(name)).toBe(false);
    },
  );

  test("in logs spelling does not matter, and public keys, key ids and Matrix ids stay", () => {
    for (const name of [
      "accessToken",
      "X-Api-Key",
      "x-auth-token",
      "privateKey",
      "signing_key",
      "Set-Cookie",
      "pickle",
    ])
      expect(isSecretField(name), name).toBe(true);
    for (const name of [
      "public_key",
      "signing_public_key",
      "publicKey",
      "key_id",
      "matrix_user_id",
      "nonce",
      "key",
    ])
      expect(isSecretField(name), name).toBe(false);
  });
});

describe("what is logged", () => {
  test("has no secret at any depth, in maps, lists, errors and their causes", () => {
    const secret = "s3cr3t-value-0123456789";
    const error = new Error(`token=${secret}`, { cause: new Error(`Bearer ${secret}`) });
    const everything = {
      password: secret,
      list: [{ api_key: secret }, `https://u:${secret}@example.org/`],
      map: new Map([["authorization", secret]]),
      set: new Set([`access_token=${secret}`]),
      error,
      ours: mxError("MX_INTERNAL", { detail: `password: "${secret}"` }),
      deep: { deep: { deep: { secret: { a: [secret] } } } },
      url: new URL(`https://example.org/?access_token=${secret}`),
    };
    const text = JSON.stringify(redact(everything));
    expect(text).not.toContain(secret);
    expect(text).toContain(REDACTED);
  });

  test("is otherwise what it was", () => {
    const value = { room: "!r:example.org", n: 1, ok: true, none: null, list: ["a", 2], at: new Date(0) };
    expect(redact(value)).toEqual({ ...value, at: "1970-01-01T00:00:00.000Z" });
  });

  test("is copied, never changed", () => {
    const value = { password: "x", inner: { list: ["token=x"] } };
    redact(value);
    expect(value).toEqual({ password: "x", inner: { list: ["token=x"] } });
  });

  test("may be circular, deep, a getter that throws, bytes or nothing", () => {
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    expect(redact(circular)).toEqual({ self: "[circular]" });
    const deep: unknown = JSON.parse(`${"[".repeat(100)}1${"]".repeat(100)}`);
    expect(JSON.stringify(redact(deep))).toContain("[too deep]");
    const throwing = {
      get value() {
        throw new Error("no");
      },
    };
    expect(redact(throwing)).toBe("[unreadable]");
    expect(redact({ bytes: Buffer.from("secret bytes"), big: 5n, f: () => 1 })).toEqual({
      bytes: "[12 bytes]",
      big: "5",
      f: undefined,
    });
    expect(redact(undefined)).toBeUndefined();
    expect(redact({ token: undefined, secret: null })).toEqual({ token: undefined, secret: null });
  });

  test("keeps an error's own fields, name and stack", () => {
    const error = Object.assign(new TypeError("bad"), { code: "EX", syscall: "open" });
    expect(redact(error)).toMatchObject({ type: "TypeError", message: "bad", code: "EX", syscall: "open" });
    expect(JSON.stringify(redact(error))).toContain("redact.test");
  });

  test("is anything: it never throws, and stays JSON", () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withTypedArray: true,
          withNullPrototype: true,
        }),
        (value) => {
          JSON.stringify(redact(value));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("text", () => {
  test.each([
    ["password=hunter2", "password=***"],
    ["password = 'hunter 2'", "password = '***'"],
    ['{"access_token":"syt_abc","user":"a"}', '{"access_token":"***","user":"a"}'],
    ["Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"],
    ["Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"],
    ["authorization=abc", "authorization=***"],
    ["curl sent bearer abcdefgh12", "curl sent bearer ***"],
    ["Cookie: session=1; other=2", "Cookie: ***"],
    ["https://user:pa55@example.org/x", "https://user:***@example.org/x"],
    ["https://ghtoken@github.com/x.git", "https://***@github.com/x.git"],
    ["ssh://git@github.com/x.git", "ssh://git@github.com/x.git"],
    ["postgres://app:pw@db/app", "postgres://app:***@db/app"],
    ["GET /sync?since=s1&access_token=abc&x=1", "GET /sync?since=s1&access_token=***&x=1"],
    ["Error: token=abc", "Error: token=***"],
    ["error: {detail: password: abc, x: 1}", "error: {detail: password: ***, x: 1}"],
    ["https://example.org/?access_token=abc", "https://example.org/?access_token=***"],
    ["ran app --api-key abc --verbose", "ran app --api-key *** --verbose"],
    ["export GITHUB_TOKEN=abc; make", "export GITHUB_TOKEN=***; make"],
    ["ghp_0123456789abcdefghijklmnopqrstuvwxyz", "***"],
    ["sk-ant-api03-abcdefghijklmnopqrstuvwxyz", "***"],
    ["key AKIAIOSFODNN7EXAMPLE used", "key *** used"],
    ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", "***"],
    ["syt_YWxpY2U_abcdefghijk_0aBcDe", "***"],
    ["join mxagent:1.976.eyJhZ2VudF9pZCI6ImxhcHRvcCJ9 --yes", "join *** --yes"],
    ["-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----", "***"],
  ])("%j becomes %j", (text, masked) => {
    expect(maskText(text)).toBe(masked);
  });

  test.each([
    "npm test",
    "basic tests of the token bucket",
    "the password was changed",
    "user=alice path=/srv key_id=abc public_key=def",
    "!room:example.org @alice:example.org $event",
    "https://example.org/path?a=b#c",
    "git@github.com:owner/repo.git",
    "token=***",
    "authorization=null",
  ])("%j stays", (text) => {
    expect(maskText(text)).toBe(text);
  });

  test("hides a labelled secret, whatever stands around it", () => {
    const secret = "s3cr3t-0123456789";
    const fragment = fc.constantFrom(
      ..."token= a : = Bearer https:// @ \" ' password *** ; -- --token authorization: cookie: \n \\ { } -----BEGIN".split(
        " ",
      ),
    );
    const around = fc.array(fragment, { maxLength: 12 }).map((parts) => parts.join(""));
    const labelled = fc.constantFrom(
      `password=${secret}`,
      `token: ${secret}`,
      `"api_key":"${secret}"`,
      `--secret ${secret}`,
      `Authorization: Bearer ${secret}`,
      `https://user:${secret}@example.org/`,
      `?access_token=${secret}&x=1`,
    );
    fc.assert(
      fc.property(around, labelled, around, (before, text, after) => {
        expect(maskText(`${before} ${text} ${after}`)).not.toContain(secret);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    "a",
    "a-",
    "token",
    "token=",
    "bearer ",
    "https://",
    "-----BEGIN ",
    "eyJ",
    '"\\',
    "cookie:",
    "sk-",
    "a@",
    "A ",
    "--x ",
    "token='",
  ])("a million characters of %j take no longer than they are long", (piece) => {
    // Quadratic work on these would run into the test's time limit.
    const text = piece.repeat(1_000_000 / piece.length);
    expect(maskText(text)).toBeTypeOf("string");
  });
});

describe("a command line", () => {
  test.each([
    [
      ["app", "--password=a b"],
      ["app", "--password=***"],
    ],
    [
      ["app", "--token", "abc", "x"],
      ["app", "--token", "***", "x"],
    ],
    [
      ["app", "--token", "--looks-like-an-option"],
      ["app", "--token", "***"],
    ],
    [
      ["app", "-api-key", "abc"],
      ["app", "-api-key", "***"],
    ],
    [
      ["env", "GITHUB_TOKEN=abc", "make"],
      ["env", "GITHUB_TOKEN=***", "make"],
    ],
    [
      ["docker", "run", "-e", "DB_PASSWORD=x y", "img"],
      ["docker", "run", "-e", "DB_PASSWORD=***", "img"],
    ],
    [
      ["java", "-Djavax.password=x", "Main"],
      ["java", "-Djavax.password=***", "Main"],
    ],
    [
      ["curl", "-H", "Authorization: Bearer abcdefghij", "u"],
      ["curl", "-H", "Authorization: Bearer ***", "u"],
    ],
    [
      ["curl", "-u", "me:pw", "https://x"],
      ["curl", "-u", "me:***", "https://x"],
    ],
    [
      ["curl", "--user", "me", "https://x"],
      ["curl", "--user", "me", "https://x"],
    ],
    [
      ["git", "clone", "https://t0ken@github.com/a"],
      ["git", "clone", "https://***@github.com/a"],
    ],
    [
      ["sh", "-c", "TOKEN=abc run --password hunter"],
      ["sh", "-c", "TOKEN=*** run --password ***"],
    ],
    [
      ["mysql", "-phunter2", "db"],
      ["mysql", "-p***", "db"],
    ],
    [
      ["/usr/bin/sshpass", "-p", "hunter2", "ssh"],
      ["/usr/bin/sshpass", "-p", "***", "ssh"],
    ],
    [
      ["openssl", "rsa", "-passin", "pass:x", "-keyout", "k"],
      ["openssl", "rsa", "-passin", "***", "-keyout", "k"],
    ],
  ])("%j is shown as %j", (argv, masked) => {
    expect(maskArgv(argv)).toEqual(masked);
  });

  test.each([
    [["npm", "run", "test", "--", "-p", "8080"]],
    [["mkdir", "-p", "a/b"]],
    [["mx-agent", "auth", "login", "--password-stdin", "--user", "anna"]],
    [["app", "--token-file", "/run/token"]],
    [["app", "--key-id", "abc"]],
    [["git", "commit", "-m", "basic support for tokens"]],
    [["toString", "-p", "x"]],
    [[]],
  ])("%j stays", (argv) => {
    expect(maskArgv(argv)).toEqual(argv);
  });

  test("keeps the number of its arguments, and masks what follows a secret option", () => {
    const argument = fc.oneof(fc.string(), fc.constantFrom("--token", "--password=x", "-p", "-u", "NAME=1"));
    fc.assert(
      fc.property(fc.array(argument), (argv) => {
        const masked = maskArgv(argv);
        expect(masked).toHaveLength(argv.length);
        for (const [index, shown] of masked.entries())
          if (index > 1 && argv[index - 1] === "--token") expect(shown).toBe("***");
      }),
    );
  });
});

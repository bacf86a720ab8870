import { execFile } from "node:child_process";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import type { Machine } from "../support/machine.ts";
import {
  approve,
  entryOf,
  everydayCommands,
  policyFor,
  type TwoDaemons,
  twoDaemons,
} from "../support/two-daemons.ts";

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons();
});
afterAll(() => they?.close());

const run = promisify(execFile);

describe("a command on the other machine", () => {
  test("gives its output, each stream apart, and its exit status", async () => {
    const ended = await they.exec(["sh", "-c", "echo out; echo err >&2; exit 5"]);
    expect(ended).toEqual({ code: 5, stdout: "out\n", stderr: "err\n" });
  });

  test("runs in the directory that was asked for", async () => {
    expect((await they.exec(["pwd"])).stdout.trim()).toBe(they.project);
  });

  test("gives its bytes exactly, whatever they are, up to the last one before its end", async () => {
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, n) => (n * 7919) % 256));
    await writeFile(join(they.project, "bytes"), bytes);
    const ended = await they.exec(["cat", "bytes"], { flags: ["--json"] });
    const { stdout, result } = JSON.parse(ended.stdout);
    expect(stdout.encoding).toBe("base64");
    expect(Buffer.from(stdout.data, "base64").equals(bytes)).toBe(true);
    expect(result).toMatchObject({ stdout_bytes: 100_000, truncated: false, complete: true });
  });

  test("shows its output while it runs", async () => {
    const fifo = join(they.project, "fifo");
    await run("mkfifo", [fifo]);
    const live = they.execLive(
      ["sh", "-c", "echo first; read line < fifo; echo then $line"],
      ["--stdin", "none"],
    );
    // The child goes on only when somebody here has seen its first line.
    await live.until("first\n");
    await writeFile(fifo, "seen\n");
    expect(await live.ended).toEqual({ code: 0, stdout: "first\nthen seen\n", stderr: "" });
  });

  test("reads our stdin", async () => {
    expect(await they.exec(["sort"], { stdin: "pear\napple\n" })).toMatchObject({
      code: 0,
      stdout: "apple\npear\n",
    });
  });

  test("reads stdin as it comes, and answers before its end", async () => {
    const live = they.execLive(["sh", "-c", "read a; echo got $a; read b; echo got $b"]);
    live.child.stdin.write("one\n");
    await live.until("got one\n");
    live.child.stdin.write("two\n");
    expect(await live.ended).toMatchObject({ code: 0, stdout: "got one\ngot two\n" });
  });

  test("that reads nothing is not held up by a pipe that nobody writes to", async () => {
    const live = they.execLive(["echo", "done"]);
    expect(await live.ended).toMatchObject({ code: 0, stdout: "done\n" });
  });

  test("reads nothing with --stdin none", async () => {
    const ended = await they.exec(["cat"], { stdin: "not sent", flags: ["--stdin", "none"] });
    expect(ended).toMatchObject({ code: 0, stdout: "" });
  });

  test("reads what is typed at a terminal, up to Ctrl-D", async () => {
    const target = ["--room", they.room, "--agent", "builder", "--cwd", they.project];
    const typing = they.laptop.spawnAtTerminal([
      "exec",
      ...target,
      "--",
      "sh",
      "-c",
      "read a; echo got $a; cat; exit 5",
    ]);
    typing.child.stdin.write("one\r");
    await typing.until("got one");
    typing.child.stdin.write("two\r\u0004");
    const { code, stdout } = await typing.ended;
    expect(code).toBe(5);
    // Once as it is typed, once as it comes back.
    expect(stdout.match(/two\r\n/g)).toHaveLength(2);
  });

  test("takes a megabyte of stdin and gives it back unchanged", async () => {
    const text = `${"0123456789abcdef".repeat(64)}\n`.repeat(1000);
    const ended = await they.exec(["cat"], { stdin: text });
    expect(ended.code).toBe(0);
    expect(ended.stdout === text).toBe(true);
  });

  test("gets the environment that policy lets through, and secrets are not even sent", async () => {
    expect(
      (await they.exec(["sh", "-c", "echo $GREETING"], { flags: ["--env", "GREETING=hello"] })).stdout,
    ).toBe("hello\n");
    const secret = await they.exec(["true"], { flags: ["--env", "MY_TOKEN=x"] });
    expect(secret).toMatchObject({ code: 64, stdout: "" });
    expect(secret.stderr).not.toContain("=x");
  });

  test("that a signal ends gives 128 + n", async () => {
    expect((await they.exec(["sh", "-c", "kill -9 $$"])).code).toBe(137);
  });

  test("that takes too long is ended: 124, and stderr says whose number it is", async () => {
    const ended = await they.exec(["sleep", "600"], { flags: ["--timeout", "1s"] });
    expect(ended.code).toBe(124);
    expect(ended.stderr).toMatch(/mx-agent: MX_TIMED_OUT\n$/);
  });

  test("is ended by Ctrl-C, with everything that it started", async () => {
    const live = they.execLive(["sh", "-c", "sleep 603 & echo child $!; wait"]);
    await live.until("child ");
    const child = Number(/child (\d+)/.exec(live.stdout)?.[1]);
    live.signal("SIGINT");
    const ended = await live.ended;
    expect(ended.code).toBe(130);
    expect(ended.stderr).toMatch(/mx-agent: MX_CANCELLED\n$/);
    expect(() => process.kill(child, 0)).toThrow(/ESRCH/);
  });

  test("is ended when its caller is killed", async () => {
    const live = they.execLive(["sh", "-c", "echo pid $$; exec sleep 604"]);
    await live.until("pid ");
    const child = Number(/pid (\d+)/.exec(live.stdout)?.[1]);
    live.signal("SIGKILL");
    await eventually(async () => {
      try {
        process.kill(child, 0);
        return false;
      } catch {
        return true;
      }
    });
  });

  test("is ended when the reader of its output goes away", async () => {
    const live = they.execLive(["sh", "-c", "echo pid $$; while echo more; do :; done"]);
    await live.until("pid ");
    live.child.stdout.destroy();
    expect((await live.ended).code).toBe(141);
  });

  test("has its own status where nothing takes its output, and 74 where that cannot be written", async () => {
    const { command, home } = they.laptop;
    const target = ["--room", they.room, "--agent", "builder", "--cwd", they.project, "--stdin", "none"];
    const words = [...command, "exec", ...target, "--", "sh", "-c", "echo lost; exit 4"];
    const env = { ...process.env, MX_AGENT_HOME: home };
    const status = (redirection: string) =>
      run("sh", ["-c", `"$@" ${redirection}`, "sh", ...words], { env }).then(
        () => 0,
        ({ code }: { code: number }) => code,
      );
    expect(await status(">&-")).toBe(4);
    expect(await status(">/dev/full")).toBe(74);
  });

  test("ten times in a row is ten runs", async () => {
    for (let n = 0; n < 10; n++)
      expect(await they.exec(["echo", String(n)])).toMatchObject({ stdout: `${n}\n` });
  });

  test("of the own machine goes through the homeserver and the same policy", async () => {
    const { builder, room, project } = they;
    const args = ["exec", "--room", room, "--agent", "builder", "--cwd", project, "--", "echo", "here"];
    expect(await builder.run(args)).toMatchObject({ code: 77 });
    await builder.setPolicy(
      `${policyFor(room, they.laptop.user, everydayCommands, project)}${entryOf(room, builder.user, ["echo"], project)}`,
    );
    expect(await builder.run(args)).toMatchObject({ code: 0, stdout: "here\n" });
  });
});

describe("a command that cannot be", () => {
  test("outside of the policy is refused in three lines: what and where, why, and what to do on which machine", async () => {
    const refused = await they.exec(["ls", "-la"]);
    expect(refused.code).toBe(77);
    const lines = refused.stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/builder in !.* refused: ls -la/);
    expect(lines[1]).toContain("policy_denied");
    expect(lines[2]).toMatch(/on builder's machine: `mx-agent policy explain req_\w+`/);
    expect(lines[3]).toBe("mx-agent: MX_REFUSED");
    const request = /req_\w+/.exec(lines[2] ?? "")?.[0] ?? "";
    const explained = await they.builder.ask(["policy", "explain", request]);
    expect(explained).toMatchObject({ decision: "deny", reason: "policy_denied" });
  });

  test("in another directory is refused", async () => {
    const args = ["exec", "--room", they.room, "--agent", "builder", "--cwd", "/", "--", "echo", "x"];
    expect(await they.laptop.run(args)).toMatchObject({ code: 77, stdout: "" });
  });

  test("that is allowed and missing is 127; a directory and a file that may not be executed are 126", async () => {
    const [tool, plain, directory] = ["tool", "plain", "directory"].map((name) => join(they.project, name));
    const [script, file, folder] = [tool ?? "", plain ?? "", directory ?? ""];
    for (const path of [script, file]) {
      await writeFile(path, "#!/bin/sh\necho tool\n");
      await chmod(path, 0o755);
    }
    await they.builder.setPolicy(
      policyFor(
        they.room,
        they.laptop.user,
        [...everydayCommands, script, file, folder, "/nowhere/program"],
        they.project,
      ),
    );
    expect(await they.exec([script])).toMatchObject({ code: 0, stdout: "tool\n" });
    const missing = await they.exec(["/nowhere/program"]);
    expect(missing.code).toBe(127);
    expect(missing.stderr).toMatch(/mx-agent: MX_COMMAND_NOT_FOUND\n$/);
    await rm(script);
    expect((await they.exec([script])).code).toBe(127);
    const starts = async (path: string) => {
      const { code, stdout, stderr } = await they.exec([path]);
      return [code, stdout, stderr.split("\n").at(-2)];
    };
    const failed = [126, "", "mx-agent: MX_SPAWN_FAILED"];
    await chmod(file, 0o644);
    expect(await starts(file)).toEqual(failed);
    await mkdir(folder);
    expect(await starts(folder)).toEqual(failed);
    expect((await they.exec([they.project])).code).toBe(77);
  });

  test("that was exchanged for another since the policy was read is refused", async () => {
    const script = join(they.project, "exchanged");
    await writeFile(script, "#!/bin/sh\necho one\n");
    await chmod(script, 0o755);
    await they.builder.setPolicy(
      policyFor(they.room, they.laptop.user, [...everydayCommands, script], they.project),
    );
    expect(await they.exec([script])).toMatchObject({ stdout: "one\n" });
    await rename(script, `${script}.old`);
    await writeFile(script, "#!/bin/sh\necho two\n");
    await chmod(script, 0o755);
    expect(await they.exec([script])).toMatchObject({ code: 77, stdout: "" });
  });

  test.each([
    ["no command at all", []],
    ["an empty command", [""]],
  ])("%s is a mistake of usage", async (_, words) => {
    const ended = await they.exec(words);
    expect(ended).toMatchObject({ code: 64, stdout: "" });
    expect(ended.stderr).toMatch(/mx-agent: MX_USAGE\n$/);
  });

  test("half a target runs nowhere", async () => {
    for (const half of [
      ["--room", they.room],
      ["--agent", "builder"],
    ]) {
      const ended = await they.laptop.run(["exec", ...half, "--", "touch", join(they.project, "half")]);
      expect(ended).toMatchObject({ code: 64, stdout: "" });
      expect(ended.stderr).toMatch(/mx-agent: MX_HALF_TARGET\n$/);
    }
    await expect(readFile(join(they.project, "half"))).rejects.toThrow(/ENOENT/);
  });

  test("in an unknown room, for an unknown agent, is 3 and says which", async () => {
    const room = await they.laptop.run(["exec", "--room", "nowhere", "--agent", "builder", "--", "true"]);
    expect(room.code).toBe(3);
    expect(room.stderr).toContain("no such room: nowhere");
    const agent = await they.laptop.run(["exec", "--room", they.room, "--agent", "nobody", "--", "true"]);
    expect(agent.code).toBe(3);
    expect(agent.stderr).toContain("nobody");
  });

  test("with --json fails with one object on stdout", async () => {
    const refused = await they.exec(["ls"], { flags: ["--json"] });
    expect(JSON.parse(refused.stdout)).toMatchObject({
      error: { code: "MX_REFUSED", origin: "remote", details: { reason: "policy_denied" } },
    });
    expect(refused.code).toBe(77);
  });
});

test("a request that the homeserver refuses for good is said at once, in its words, and so is a later question", async () => {
  const { laptop, builder, room } = they;
  await approve(builder, laptop, room);
  await forbidRequests(builder);
  const refused = await builder.run(["exec", "--room", room, "--agent", "laptop", "--", "true"]);
  expect(refused).toMatchObject({ code: 69, stdout: "" });
  expect(refused.stderr).toMatch(
    /the homeserver refused: M_FORBIDDEN .+\n.*mx-agent: MX_HOMESERVER_ERROR\n$/s,
  );
  const [asked] = await builder.ask<{ invocation_id: string; state: string; reason: string }[]>([
    ...["invocation", "list", "--side", "caller", "--limit", "1"],
  ]);
  expect(asked).toMatchObject({ state: "lost", reason: "MX_HOMESERVER_ERROR" });
  const waited = await builder.run(["invocation", "wait", asked?.invocation_id ?? ""]);
  expect(waited).toMatchObject({ code: 69, stderr: expect.stringContaining("M_FORBIDDEN") });
});

test("everything that was decided is on record, and the record verifies", async () => {
  const verdict = await they.builder.ask<{ ok: boolean; lines: number }>(["audit", "verify"]);
  expect(verdict.ok).toBe(true);
  expect(verdict.lines).toBeGreaterThan(10);
  const tail = await they.builder.run(["audit", "tail", "-n", "5"]);
  expect(tail.stdout.trimEnd().split("\n")).toHaveLength(5);
});

/** The laptop, who made the room, lets nobody below it send requests there any more. */
async function forbidRequests(below: Machine): Promise<void> {
  const { laptop, room, homeserver } = they;
  const client = async (method: string, path: string, body?: object) => {
    const response = await fetch(`${homeserver.url}/_matrix/client/v3/${path}`, {
      method,
      headers: access_token === "" ? {} : { authorization: `Bearer ${access_token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await response.json()) as Record<string, unknown>;
  };
  let access_token = "";
  const { user, password } = laptop;
  const login = { type: "m.login.password", identifier: { type: "m.id.user", user }, password };
  access_token = String((await client("POST", "login", login)).access_token);
  const levels = `rooms/${encodeURIComponent(room)}/state/m.room.power_levels`;
  const now = await client("GET", levels);
  const events = { ...Object(now.events), "com.mxagent.exec.request.v1": 100 };
  await client("PUT", levels, { ...now, events });
  await client("POST", "logout", {});
  await eventually(async () => {
    const found = await below.ask<{ user_id: string; power_level: number }[]>([
      ...["workspace", "members", "--room", room],
    ]);
    return found.some(({ user_id, power_level }) => user_id === below.user && power_level < 100);
  });
}

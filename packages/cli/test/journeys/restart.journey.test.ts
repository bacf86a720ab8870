import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { isAlive } from "../../src/background/alive.ts";
import { everydayCommands, policyFor, type TwoDaemons, twoDaemons } from "../support/two-daemons.ts";

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons({ policy: withTool });
});
afterAll(() => they?.close());

/** Everyday commands, and a tool that says when it starts and waits for a line. */
const withTool = (room: string, user: string, project: string) => `${policyFor(
  room,
  user,
  everydayCommands,
  project,
)}allow_tools = ["held@1"]
[tools.held]
version = "1.0.0"
description = "Wait for a line in a FIFO"
input = { type = "object", properties = { fifo = { type = "string" }, starts = { type = "string" } }, required = ["fifo", "starts"] }
command = ["sh", "-c", 'echo started >> "$1"; read line < "$0"; echo tool $line; exit 4', "{fifo}", "{starts}"]
cwd = "${project}"
`;

/** A command that says `first`, waits for a line in a FIFO, says it, and notes each start in a file. */
async function held(name: string): Promise<{
  words: string[];
  fifo: string;
  starts: string;
  release(line: string): Promise<void>;
  started(): Promise<number>;
}> {
  const fifo = join(they.project, `${name}.fifo`);
  const starts = join(they.project, `${name}.starts`);
  await promisify(execFile)("mkfifo", [fifo]);
  return {
    words: [
      "sh",
      "-c",
      `echo started >> ${starts}; echo first; read line < ${fifo}; echo then $line; exit 4`,
    ],
    fifo,
    starts,
    release: (line) => writeFile(fifo, `${line}\n`),
    started: async () => (await readFile(starts, "utf8").catch(() => "")).split("\n").length - 1,
  };
}

const outcome = { code: 4, stdout: "first\nthen go\n" };

describe("a caller who waits gets output and outcome, and the command runs once", () => {
  test("when the caller's daemon is restarted in between", async () => {
    const command = await held("caller-restart");
    const live = they.execLive(command.words, ["--stdin", "none"]);
    await live.until("first\n");
    await they.laptop.ask(["daemon", "restart"]);
    await command.release("go");
    expect(await live.ended).toMatchObject(outcome);
    expect(await command.started()).toBe(1);
  });

  test("when the caller's daemon is killed in between", async () => {
    const command = await held("caller-kill");
    const live = they.execLive(command.words, ["--stdin", "none"]);
    await live.until("first\n");
    const pid = await they.laptop.daemonPid();
    process.kill(pid, "SIGKILL");
    await eventually(async () => !isAlive(pid));
    await they.laptop.startDaemon();
    await command.release("go");
    expect(await live.ended).toMatchObject(outcome);
    expect(await command.started()).toBe(1);
  });

  test("when the caller's daemon is killed twice in the middle of his input, which goes on where it stood", async () => {
    const live = they.execLive(["cat"]);
    const parts = ["first ", "second ", "third "].map((word) => word.repeat(100_000));
    const [first = "", second = "", third = ""] = parts;
    live.child.stdin.write(first);
    await live.until("first ");
    for (const part of [second, third]) {
      const pid = await they.laptop.daemonPid();
      process.kill(pid, "SIGKILL");
      await eventually(async () => !isAlive(pid));
      live.child.stdin.write(part);
      await they.laptop.startDaemon();
      await live.until(part.slice(0, 7).trim());
    }
    live.child.stdin.end();
    const { code, stdout } = await live.ended;
    expect(code).toBe(0);
    expect(stdout === parts.join("")).toBe(true);
  });

  test("when the executing daemon is restarted in between", async () => {
    const command = await held("executor-restart");
    const live = they.execLive(command.words, ["--stdin", "none"]);
    await live.until("first\n");
    await they.builder.ask(["daemon", "restart"]);
    await command.release("go");
    expect(await live.ended).toMatchObject(outcome);
    expect(await command.started()).toBe(1);
  });

  test("when the executing daemon is killed in between", async () => {
    const command = await held("executor-kill");
    const live = they.execLive(command.words, ["--stdin", "none"]);
    await live.until("first\n");
    const pid = await they.builder.daemonPid();
    process.kill(pid, "SIGKILL");
    await eventually(async () => !isAlive(pid));
    await command.release("go");
    await they.builder.startDaemon();
    expect(await live.ended).toMatchObject(outcome);
    expect(await command.started()).toBe(1);
  });

  test("when the homeserver is killed in between", async () => {
    const command = await held("homeserver-kill");
    const live = they.execLive(command.words, ["--stdin", "none"]);
    await live.until("first\n");
    await they.homeserver.kill("SIGKILL");
    await command.release("go");
    await they.homeserver.restart();
    expect(await live.ended).toMatchObject(outcome);
    expect(await command.started()).toBe(1);
  });
});

describe.each<[string, () => Promise<void>]>([
  [
    "restarted",
    async () => {
      await they.laptop.ask(["daemon", "restart"]);
    },
  ],
  [
    "killed",
    async () => {
      const pid = await they.laptop.daemonPid();
      process.kill(pid, "SIGKILL");
      await eventually(async () => !isAlive(pid));
      await they.laptop.startDaemon();
    },
  ],
])("whoever waits goes on when the caller's daemon is %s in between", (how, strike) => {
  test("for a tool's answer, for the end of a run, and along its output", async () => {
    const [tool, command] = [await held(`tool-${how}`), await held(`logs-${how}`)];
    const { invocation_id } = await they
      .exec(command.words, { flags: ["--detach", "--json"] })
      .then((ran) => {
        return JSON.parse(ran.stdout) as { invocation_id: string };
      });
    const target = ["--room", they.room, "--agent", "builder", "--tool", "held"];
    const pairs = [`fifo=${tool.fifo}`, `starts=${tool.starts}`].flatMap((pair) => ["--arg", pair]);
    const called = they.laptop.spawn(["call", ...target, ...pairs, "--json"]);
    const waiting = they.laptop.spawn(["invocation", "wait", "-v", "--json", invocation_id]);
    const reading = they.laptop.spawn(["invocation", "logs", "-f", invocation_id]);
    await reading.until("first\n");
    await waiting.until("invocation.wait: asking");
    await eventually(async () => (await tool.started()) === 1);
    await strike();
    await Promise.all([tool.release("go"), command.release("go")]);
    const [answer, end, output] = await Promise.all([called.ended, waiting.ended, reading.ended]);
    expect(answer.code, answer.stderr).toBe(4);
    expect(JSON.parse(answer.stdout)).toMatchObject({ result: { stdout: "tool go\n", exit_code: 4 } });
    expect(end.code, end.stderr).toBe(4);
    expect(JSON.parse(end.stdout)).toMatchObject({ invocation_id, result: { outcome: "exited" } });
    expect(output).toMatchObject({ code: 0, stdout: "first\nthen go\n" });
    expect([await tool.started(), await command.started()]).toEqual([1, 1]);
  });
});

test("whoever waits at the machine that runs it goes on when its daemon is restarted in between", async () => {
  const command = await held("own-logs");
  const { invocation_id } = await they.exec(command.words, { flags: ["--detach", "--json"] }).then((ran) => {
    return JSON.parse(ran.stdout) as { invocation_id: string };
  });
  await eventually(async () => (await command.started()) === 1);
  const waiting = they.builder.spawn(["invocation", "wait", "-v", invocation_id]);
  const reading = they.builder.spawn(["invocation", "logs", "-f", invocation_id]);
  await reading.until("first\n");
  await waiting.until("invocation.wait: asking");
  await they.builder.ask(["daemon", "restart"]);
  await command.release("go");
  expect(await reading.ended).toMatchObject({ code: 0, stdout: "first\nthen go\n" });
  expect(await waiting.ended).toMatchObject({ code: 4 });
});

test("whoever asks for output that was pruned on the other machine learns that it is gone, and is not kept waiting", async () => {
  const { stdout } = await they.exec(["echo", "once"], { flags: ["--detach"] });
  const invocation_id = stdout.trim();
  expect((await they.laptop.run(["invocation", "wait", invocation_id])).code).toBe(0);
  await they.builder.ask(["invocation", "prune", "--older-than", "0s"]);
  const reading = await they.laptop.run(["invocation", "logs", "-f", invocation_id]);
  expect(reading).toMatchObject({ code: 74, stdout: "" });
  expect(reading.stderr).not.toContain("does not answer");
});

test("a request for a daemon that is down is run when it is back", async () => {
  await they.builder.run(["daemon", "stop"]);
  const live = they.execLive(["echo", "late"]);
  await eventually(async () => {
    const list = await they.laptop.ask<{ state: string }[]>(["invocation", "list", "--running"]);
    return list.length === 1;
  });
  await they.builder.startDaemon();
  expect(await live.ended).toMatchObject({ code: 0, stdout: "late\n" });
});

describe("a command that mx-agent started", () => {
  const operator = "policy explain req_00000000000000000000000000 --json";
  const asChild = (line: string) => {
    const mx = `MX_AGENT_HOME=${they.builder.home} ${they.builder.command.join(" ")}`;
    return they.exec(["sh", "-c", line.replaceAll("MX", mx)], { flags: ["--stdin", "none"] });
  };

  test("may ask the daemon what agents may", async () => {
    expect(await asChild("MX agent list --json")).toMatchObject({ code: 0 });
  });

  test("may not act as the operator", async () => {
    const ended = await asChild(`MX ${operator}`);
    expect(ended.stdout).toContain("MX_PEER_STARTED_HERE");
    expect(ended.code).toBe(77);
  });

  test("may not act as the operator from a session of its own, either", async () => {
    const out = join(they.project, "escaped");
    await asChild(`setsid sh -c '(MX ${operator} > ${out} 2>&1; echo done >> ${out}) & sleep 3'`);
    await eventually(async () => (await readFile(out, "utf8")).includes("done"));
    expect(await readFile(out, "utf8")).toContain("MX_PEER_STARTED_HERE");
  });

  test("sees nothing of the daemon's environment that is a secret", async () => {
    await they.builder.setPolicy(policyFor(they.room, they.laptop.user, everydayCommands, they.project));
    const ended = await they.exec(["env"]);
    expect(ended.code).toBe(0);
    expect(ended.stdout).not.toMatch(/MX_AGENT|TOKEN|PASSWORD|SECRET/i);
  });
});

test("Ctrl-C while the executing machine is away ends the wait, and what it would start later is cancelled", async () => {
  type Invocation = { summary: string; state: string; result: { outcome: string } | null };
  const listed = async (machine: typeof they.laptop) =>
    (await machine.ask<Invocation[]>(["invocation", "list"])).find(({ summary }) => summary === "sleep 300");
  await they.builder.ask(["daemon", "stop"]);
  const live = they.execLive(["sleep", "300"], ["--stdin", "none"]);
  await eventually(async () => (await listed(they.laptop)) !== undefined);
  live.signal("SIGINT");
  expect((await live.ended).code).toBe(130);
  await they.builder.startDaemon();
  await eventually(async () => {
    const run = await listed(they.builder);
    return run?.state === "ended" && run.result?.outcome === "cancelled";
  });
});

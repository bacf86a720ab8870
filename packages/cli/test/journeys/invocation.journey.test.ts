import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "@mx-agent/ipc/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { everydayCommands, policyFor, type TwoDaemons, twoDaemons } from "../support/two-daemons.ts";

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons();
});
afterAll(() => they?.close());

describe("a command on the other machine that was asked for before", () => {
  test("can be left running, listed, followed and waited for", async () => {
    const started = await they.exec(["sh", "-c", "echo begun; sleep 0.3; echo ended; exit 3"], {
      flags: ["--detach"],
    });
    expect(started.code).toBe(0);
    const id = started.stdout.trim();
    const logs = await they.laptop.run(["invocation", "logs", "-f", id]);
    expect(logs).toMatchObject({ code: 0, stdout: "begun\nended\n" });
    for (const machine of [they.laptop, they.builder]) {
      const { code, stdout } = await machine.run(["invocation", "wait", id, "--json"]);
      expect(code).toBe(3);
      expect(JSON.parse(stdout)).toMatchObject({
        type: "finished",
        result: { outcome: "exited", exit_code: 3 },
      });
    }
    const listed = await they.laptop.ask<{ invocation_id: string }[]>(["invocation", "list"]);
    expect(listed.map(({ invocation_id }) => invocation_id)).toContain(id);
    const shown = await they.builder.ask(["invocation", "show", id]);
    expect(shown).toMatchObject({ side: "executor", state: "ended" });
  });

  test("shows what it wrote since a moment, on either machine", async () => {
    const go = join(they.project, "since-go");
    const wait = `n=0; while [ ! -e ${go} ] && [ $n -lt 600 ]; do n=$((n+1)); sleep 0.1; done`;
    const { stdout } = await they.exec(["sh", "-c", `echo old; ${wait}; echo new`], { flags: ["--detach"] });
    const id = stdout.trim();
    const logs = they.laptop.spawn(["invocation", "logs", "-f", id]);
    await logs.until("old\n");
    const moment = new Date(Date.now() + 1).toISOString();
    await writeFile(go, "");
    expect((await logs.ended).stdout).toBe("old\nnew\n");
    for (const machine of [they.laptop, they.builder]) {
      const since = async (when: string) =>
        (await machine.run(["invocation", "logs", id, "--since", when])).stdout;
      expect(await since(moment)).toBe("new\n");
      expect(await since("1h")).toBe("old\nnew\n");
      expect(await since(new Date(Date.now() + 60_000).toISOString())).toBe("");
    }
    expect((await they.laptop.run(["invocation", "logs", id, "--since", "noon"])).code).toBe(64);
  });

  test("can be cancelled by its id", async () => {
    const { stdout } = await they.exec(["sleep", "605"], { flags: ["--detach"] });
    const id = stdout.trim();
    const cancelled = await they.laptop.run(["invocation", "cancel", id]);
    expect(cancelled).toMatchObject({
      code: 0,
      stdout: `${id} is told to end; \`mx-agent invocation wait ${id}\` waits for that\n`,
    });
    const ended = await they.laptop.run(["invocation", "wait", id, "--json"]);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      result: { outcome: "cancelled" },
      error: { code: "MX_CANCELLED" },
    });
    expect(ended).toMatchObject({ code: 130, stderr: "mx-agent: MX_CANCELLED\n" });
    expect((await they.laptop.run(["invocation", "cancel", id])).stdout).toBe(`${id} has ended\n`);
  });

  test("is neither ended nor read there by who has the agents' socket", async () => {
    const { stdout } = await they.exec(["sh", "-c", "echo theirs; sleep 606"], { flags: ["--detach"] });
    const invocation_id = stdout.trim();
    const logs = they.laptop.spawn(["invocation", "logs", "-f", invocation_id]);
    await logs.until("theirs\n");
    const socket = join(they.builder.home, "runtime", "agent.sock");
    const agent = await connect({ socket, version: "0" });
    try {
      const whole = { invocation_id, follow: false, since_ts: null };
      for (const [call, code] of [
        [agent.call("run.cancel", { invocation_id }), "MX_ROLE"],
        [agent.call("run.logs", whole), "MX_ROLE"],
        [agent.call("invocation.cancel", { invocation_id }), "MX_NOT_FOUND"],
        [agent.call("invocation.logs", whole), "MX_NOT_FOUND"],
      ] as const)
        await expect(call.result).rejects.toMatchObject({ code });
    } finally {
      agent.close();
    }
    expect(await they.builder.ask(["invocation", "show", invocation_id])).toMatchObject({ state: "running" });
    expect((await they.builder.run(["invocation", "cancel", invocation_id])).code).toBe(0);
    expect((await they.laptop.run(["invocation", "wait", invocation_id])).code).toBe(130);
    await logs.ended;
  });

  test("that waits for an approval is ended by the operator there, and its caller hears so", async () => {
    const { builder, laptop, room, project } = they;
    await builder.setPolicy(
      `${policyFor(room, laptop.user, everydayCommands, project)}requires_approval = [{ command = "true" }]\n`,
    );
    const live = they.execLive(["true"], ["--stdin", "none"]);
    await live.until("waiting for approval");
    const [asked] = await builder.ask<{ invocation_id: string; state: string }[]>([
      ...["invocation", "list", "--side", "executor", "--running"],
    ]);
    expect(asked?.state).toBe("held");
    const id = asked?.invocation_id ?? "";
    expect(await builder.ask(["invocation", "cancel", id])).toMatchObject({ state: "rejected" });
    const ended = await live.ended;
    expect(ended.code).toBe(77);
    expect(ended.stderr).toContain("approval_denied: the operator of the executing machine cancelled it");
    await builder.setPolicy(policyFor(room, laptop.user, everydayCommands, project));
  });

  test("that nobody is left to ask about is forgotten when it is told to be", async () => {
    const { stdout } = await they.exec(["true"], { flags: ["--detach"] });
    const id = stdout.trim();
    await they.laptop.run(["invocation", "wait", id]);
    for (const machine of [they.laptop, they.builder]) {
      await eventually(async () => {
        await machine.ask(["invocation", "prune", "--older-than", "0s"]);
        return (await machine.run(["invocation", "show", id])).code === 3;
      });
    }
    expect((await they.laptop.run(["invocation", "logs", id])).code).toBe(3);
    expect((await they.laptop.run(["invocation", "list", "--side", "both"])).code).toBe(64);
  });
});

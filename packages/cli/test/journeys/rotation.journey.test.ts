import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { type TwoDaemons, twoDaemons } from "../support/two-daemons.ts";

interface Agent {
  fingerprint: string;
  trusted: boolean;
  announced: { fingerprint: string; approved: boolean } | null;
  warnings: string[];
}
interface Rotation {
  state: string;
  fingerprint: string;
  next_fingerprint: string;
}

describe.each([false, true])("in a workspace that is encrypted: %s", (encrypted) => {
  let they: TwoDaemons;
  beforeAll(async () => {
    they = await twoDaemons({ encrypted });
  });
  afterAll(() => they?.close());

  const runs = async () => {
    expect(await they.exec(["echo", "hello"])).toMatchObject({ code: 0, stdout: "hello\n" });
  };
  const shown = () => they.laptop.ask<Agent>(["agent", "show", "--agent", "builder", "--room", they.room]);
  const trusted = async () => {
    const entries = await they.laptop.ask<{ fingerprint: string; status: string }[]>(["trust", "list"]);
    return Object.fromEntries(entries.map(({ fingerprint, status }) => [fingerprint, status]));
  };
  let announced: Rotation;

  test("a new key is announced under the old one, which goes on counting until the new one is used", async () => {
    const { builder, laptop, room } = they;
    announced = await builder.ask<Rotation>(["trust", "rotate"]);
    expect(announced.next_fingerprint).not.toBe(announced.fingerprint);
    await eventually(async () => (await shown()).announced?.fingerprint === announced.next_fingerprint);
    const { warnings, trusted: still } = await shown();
    expect([warnings.join(), still]).toEqual([expect.stringContaining("announces a new key"), true]);
    await runs();
    // Twice is once.
    expect((await builder.ask<Rotation>(["trust", "rotate"])).next_fingerprint).toBe(
      announced.next_fingerprint,
    );

    const approve = ["trust", "approve", "builder", "--room", room, "--fingerprint"];
    expect((await laptop.run([...approve, `SHA256:${"A".repeat(43)}`])).code).toBe(65);
    await laptop.ask([...approve, announced.next_fingerprint]);
    expect(await trusted()).toEqual({
      [announced.fingerprint]: "trusted",
      [announced.next_fingerprint]: "trusted",
    });
    expect((await shown()).warnings).toEqual([]);
    await runs();
  });

  test("once it is used it alone counts, in both directions, and the audit log holds under both", async () => {
    const { builder, laptop, room } = they;
    const waiting = they.execLive(["sh", "-c", "echo up; read word"]);
    await waiting.until("up");
    const early = await builder.run(["trust", "rotate", "--finish"]);
    expect([early.code, early.stderr]).toEqual([65, expect.stringContaining("would lose their results")]);
    waiting.child.stdin.end("go\n");
    await waiting.ended;
    // What the run leaves behind to be sent is soon gone.
    await eventually(async () => (await builder.run(["trust", "rotate", "--finish"])).code === 0);
    await eventually(async () => (await trusted())[announced.fingerprint] === "revoked");
    await runs();
    // Before it is looked at, which pings as well: one ping a second is answered.
    expect(await builder.ask(["agent", "ping", "--agent", "laptop", "--room", room])).toMatchObject({
      agent_id: "laptop",
    });
    expect(await laptop.ask(["agent", "ping", "--agent", "builder", "--room", room])).toMatchObject({
      agent_id: "builder",
    });
    expect(await shown()).toMatchObject({
      fingerprint: announced.next_fingerprint,
      trusted: true,
      warnings: [],
    });
    expect(await builder.ask(["trust", "fingerprint"])).toMatchObject({
      fingerprint: announced.next_fingerprint,
    });
    expect(await builder.ask(["audit", "verify"])).toMatchObject({ ok: true });
    const { stdout } = await builder.run(["audit", "tail", "-n", "1000", "--json"]);
    expect(stdout).toContain('"rotation_announced"');
    expect(stdout).toContain('"rotation_finished"');
  });

  test("who did not approve it in time is told so before anything is sent, and approves it then", async () => {
    const { builder, laptop, room } = they;
    const second = await builder.ask<Rotation>(["trust", "rotate"]);
    await builder.ask(["trust", "rotate", "--finish"]);
    await eventually(async () => (await shown()).fingerprint === second.next_fingerprint);
    const refused = await they.exec(["echo", "hello"]);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain(`it signs with a new key now, ${second.next_fingerprint}`);
    expect((await shown()).warnings.join()).toContain("has a new key");
    await laptop.ask([
      ...["trust", "approve", "builder", "--room", room, "--fingerprint", second.next_fingerprint],
    ]);
    await runs();
  });

  test("an announced key can be given up", async () => {
    const { builder } = they;
    await builder.ask(["trust", "rotate"]);
    await eventually(async () => (await shown()).announced !== null);
    await builder.ask(["trust", "rotate", "--abandon"]);
    await eventually(async () => (await shown()).announced === null);
    expect((await builder.run(["trust", "rotate", "--finish"])).code).toBe(3);
    await runs();
  });
});

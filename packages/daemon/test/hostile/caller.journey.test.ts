/** The asking side against a member who forges results, and a homeserver that tampers with the stream. */
import { randomBytes } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { EventTypes } from "@mx-agent/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type Machine, type Ran, startMachine } from "../../../cli/test/support/machine.ts";
import { everydayCommands, policyFor, shareWorkspace } from "../../../cli/test/support/two-daemons.ts";
import { type FaultProxy, startFaultProxy } from "../support/fault-proxy.ts";
import { throughProxy } from "../support/through-proxy.ts";
import { type DeviceMessage, RawAccount } from "./support/account.ts";
import { HostileSync, timelineOf } from "./support/hostile-sync.ts";

let homeserver: TestHomeserver;
let proxy: FaultProxy;
let hostile: HostileSync;
let laptop: Machine;
let builder: Machine;
let mallory: RawAccount;
let room: string;
let project: string;
/** Several chunks, and different in every place. */
const output = randomBytes(60_000).toString("hex");

beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  proxy = await startFaultProxy(homeserver.url);
  hostile = new HostileSync(proxy);
  [laptop, builder, mallory] = await Promise.all([
    startMachine({ name: "laptop", homeserver: throughProxy(homeserver, proxy) }),
    startMachine({ name: "builder", homeserver }),
    RawAccount.register(homeserver, "mallory"),
  ]);
  room = await shareWorkspace(laptop, builder);
  await laptop.ask(["workspace", "invite", mallory.user_id, "--room", room]);
  await mallory.join(room);
  project = join(builder.home, "project");
  await mkdir(project);
  await writeFile(join(project, "output"), output);
  await builder.setPolicy(policyFor(room, laptop.user, everydayCommands, project));
});
beforeEach(() => rm(join(project, "go"), { force: true }));
afterAll(async () => {
  await Promise.all([laptop?.close(), builder?.close()]);
  await proxy?.close();
  await homeserver?.close();
});

const target = () => ["--room", room, "--agent", "builder", "--cwd", project, "--stdin", "none"];
const exec = (...words: string[]): Promise<Ran> => laptop.run(["exec", ...target(), "--", ...words]);
const dropped = async () =>
  (await laptop.ask<{ dropped_results: number }>(["daemon", "status"])).dropped_results;

describe("a result that somebody else made for a run whose id he knows", () => {
  test("changes nothing, whichever it is and however it comes", async () => {
    const before = await dropped();
    const waits = "while [ ! -e go ]; do sleep 0.05; done; echo right; exit 3";
    const live = laptop.spawn(["exec", ...target(), "--", "sh", "-c", waits]);
    const asked = await mallory.until(
      ({ type, content }) =>
        type === EventTypes.execRequest && JSON.stringify(content).includes("echo right"),
    );
    const { invocation_id } = asked.content;
    const { account } = await laptop.ask<{ account: { user_id: string; device_id: string } }>([
      "daemon",
      "status",
    ]);
    const results: [string, Record<string, unknown>][] = [
      [EventTypes.execFinished, { ...finished, invocation_id }],
      [EventTypes.execRejected, { invocation_id, reason: "policy_denied" }],
      [
        EventTypes.execCancelled,
        {
          invocation_id,
          signal_sent: "SIGTERM",
          killed_process_group: true,
          finished_at: new Date().toISOString(),
        },
      ],
      [EventTypes.streamChunk, { ...chunk, invocation_id }],
    ];
    for (const [type, content] of results) {
      await mallory.send(room, type, content);
      await mallory.send(room, type, mallory.sign(room, type, content));
      await mallory.sendToDevice(account.user_id, account.device_id, type, mallory.sign(room, type, content));
      const inHisName = { type, sender: builder.user, content: mallory.sign(room, type, content) };
      const served = hostile.next((answer) => {
        timelineOf(answer, room).unshift({
          ...inHisName,
          event_id: `$f${Math.random()}`,
          origin_server_ts: Date.now(),
        });
        answer.to_device = { events: [...(answer.to_device?.events ?? []), inHisName] };
      });
      await mallory.send(room, "com.mxagent.heartbeat.v1", {});
      await served;
    }
    await expect.poll(dropped, { timeout: 10_000 }).toBeGreaterThanOrEqual(before + 16);
    // A cancel that is not the requester's ends nothing either.
    await mallory.send(
      room,
      EventTypes.execCancel,
      mallory.sign(room, EventTypes.execCancel, { ...cancel, invocation_id }),
    );
    await writeFile(join(project, "go"), "");
    expect(await live.ended).toEqual({ code: 3, stdout: "right\n", stderr: "" });
  });
});

/** Changes the chunks in each answer to /sync until the test is over. */
async function tampering(
  change: (chunks: DeviceMessage[]) => DeviceMessage[],
): Promise<{ ran: Ran; touched: number }> {
  let touched = 0;
  const stop = hostile.rewrite((answer) => {
    const events = answer.to_device?.events ?? [];
    const chunks = events.filter(({ type }) => type === EventTypes.streamChunk);
    if (chunks.length === 0) return;
    const changed = change(chunks);
    if (JSON.stringify(changed) !== JSON.stringify(chunks)) touched++;
    answer.to_device = {
      events: [...events.filter(({ type }) => type !== EventTypes.streamChunk), ...changed],
    };
  });
  try {
    return { ran: await exec("cat", "output"), touched };
  } finally {
    stop();
  }
}

describe("output arrives whole and once when the homeserver", () => {
  const whole = { code: 0, stdout: output, stderr: "" };

  test("serves every chunk twice", async () => {
    const { ran, touched } = await tampering((chunks) => chunks.flatMap((one) => [one, one]));
    expect(touched).toBeGreaterThan(0);
    expect(ran).toEqual(whole);
  });

  test("serves chunks in the wrong order", async () => {
    const held: DeviceMessage[] = [];
    const { ran, touched } = await tampering((chunks) => {
      held.push(...chunks);
      return held.length < 3 ? [] : held.splice(0).reverse();
    });
    expect(touched).toBeGreaterThan(0);
    expect(ran).toEqual(whole);
  });

  test("loses a chunk", async () => {
    let lost = 0;
    const { ran, touched } = await tampering((chunks) =>
      chunks.filter(({ content }) => content.seq !== 1 || lost++ > 0),
    );
    expect(touched).toBe(1);
    expect(ran).toEqual(whole);
  });

  test("alters a chunk", async () => {
    let altered = 0;
    const { ran, touched } = await tampering((chunks) =>
      chunks.map((one) =>
        one.content.seq === 1 && altered++ === 0
          ? { ...one, content: { ...one.content, data: `x${String(one.content.data).slice(1)}` } }
          : one,
      ),
    );
    expect(touched).toBe(1);
    expect(ran).toEqual(whole);
  });

  test("puts one chunk in another's place", async () => {
    let moved = 0;
    const { ran, touched } = await tampering((chunks) =>
      chunks.map((one) =>
        one.content.seq === 1 && moved++ === 0 ? { ...one, content: { ...one.content, seq: 2 } } : one,
      ),
    );
    expect(touched).toBe(1);
    expect(ran).toEqual(whole);
  });
});

const finished = {
  exit_code: 0,
  signal: null,
  duration_ms: 1,
  stdout_bytes: 0,
  stderr_bytes: 0,
  truncated: false,
  artifact_mxc: null,
};

const chunk = {
  stream: "stdout",
  seq: 0,
  encoding: "utf-8",
  data: "forged\n",
  eof: false,
  compressed: false,
  sha256: null,
  timestamp: new Date().toISOString(),
};

const cancel = { reason: "none", created_at: new Date().toISOString(), nonce: "n" };

import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type IpcClient } from "@mx-agent/ipc/client";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { type TwoDaemons, twoDaemons } from "../../cli/test/support/two-daemons.ts";
import { User } from "../../homeserver/bench/side.ts";

export const name = "streams";
export const description =
  "Output of a command, complete by digest, against a bare to-device PUT loop of the same chunks; memory of the daemons meanwhile";

/** Bytes of one sample; the full run has 100 MB in all. */
const PIECE = 4 * 1024 * 1024;
const CHUNK = 24 * 1024;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  const they = await twoDaemons();
  const client = await connect({
    socket: join(they.laptop.home, "runtime", "daemon.sock"),
    version: "bench",
  });
  try {
    writeFileSync(join(they.project, "piece"), randomBytes(PIECE));
    const [sender, receiver] = [await login(they, "sender"), await login(they, "receiver")];
    await receiver.catchUp();
    const samples = Math.max(3, Math.round(25 * scale));
    const [ours, theirs]: [number[], number[]] = [[], []];
    await output(client, they, PIECE);
    const before = memory(they);
    for (let i = 0; i < samples; i++) {
      ours.push(PIECE / (await timed(() => output(client, they, PIECE))) / 1000);
      theirs.push(PIECE / (await timed(() => bareLoop(sender, receiver, PIECE))) / 1000);
      say(`${i + 1} of ${samples}: ${ours.at(-1)?.toFixed(2)} and ${theirs.at(-1)?.toFixed(2)} MB/s`);
    }
    const grown = memory(they) - before;
    const mb = (samples * PIECE) / 1e6;
    return [
      compared(
        {
          what: `${mb.toFixed(0)} MB of output (${they.homeserver.kind})`,
          against: `bare to-device PUT loop, ${median(theirs).toFixed(2)} MB/s`,
          unit: "MB/s",
          aim: "at least 0.6",
          must: { atLeast: 0.6 },
        },
        ours,
        theirs,
      ),
      {
        what: "memory that the caller's and the executing daemon grew by",
        against: "before it",
        n: 1,
        median: grown,
        p95: undefined,
        unit: "MB",
        ratio: undefined,
        interval: undefined,
        aim: "at most + 64 MB each",
        verdict: grown <= 128 ? "met" : "missed",
      },
    ];
  } finally {
    client.close();
    await they.close();
  }
}

/** One command whose output of so many bytes is read to its end, and whose digest has to match. */
async function output(client: IpcClient, they: TwoDaemons, bytes: number): Promise<void> {
  const call = client.call("exec.run", {
    room: they.room,
    agent: "builder",
    command: ["cat", "piece"],
    cwd: they.project,
    env: {},
    timeout_ms: null,
    stdin: false,
    detach: false,
  });
  let read = 0;
  for await (const item of call.output)
    if (item.type === "chunk") read += Buffer.byteLength(item.data, "base64");
  const result = await call.result;
  if (read !== bytes || result.type !== "finished" || result.result.complete !== true)
    throw new Error(`the output is not whole: ${read} of ${bytes} bytes, ${JSON.stringify(result)}`);
}

/** The same bytes in as many to-device messages, one after another, until the other side has them all. */
async function bareLoop(sender: User, receiver: User, bytes: number): Promise<void> {
  const chunks = Math.ceil(bytes / CHUNK);
  const data = randomBytes(CHUNK).toString("base64");
  const send = async () => {
    for (let seq = 0; seq < chunks; seq++) await sender.sendToDevice(receiver, { seq, data });
  };
  const sending = send();
  for (let got = 0; got < chunks; ) {
    const { to_device } = await receiver.sync(10_000);
    const events =
      typeof to_device === "object" && to_device !== null ? Reflect.get(to_device, "events") : [];
    got += Array.isArray(events) ? events.length : 0;
  }
  await sending;
}

async function login(they: TwoDaemons, user: string): Promise<User> {
  const { url } = they.homeserver;
  await they.homeserver.registerUser(user, `${user}-password`);
  const response = await fetch(`${url}/_matrix/client/v3/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password: `${user}-password`,
    }),
  });
  const answer: Record<string, unknown> = JSON.parse(await response.text());
  return new User(url, answer);
}

/** Resident memory of both daemons, MB. */
function memory(they: TwoDaemons): number {
  return [they.laptop, they.builder]
    .map(({ home }) => {
      const { pid }: { pid: number } = JSON.parse(readFileSync(join(home, "runtime", "daemon.json"), "utf8"));
      const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      return Number(kb ?? 0) / 1000;
    })
    .reduce((sum, one) => sum + one, 0);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

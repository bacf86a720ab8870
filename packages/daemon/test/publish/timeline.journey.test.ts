/** Who asks without `reply`, as a daemon of the first protocol does: output and end come in the room, in that order. */
import { decodeChunk, EventTypes, parseContent } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { isAlive } from "../../../cli/src/background/alive.ts";
import { type Content, isAbout, type Stage, setTheStage } from "../hostile/support/stage.ts";

/** More than a receiver takes before its first acknowledgement, which such a peer does not send. */
const BYTES = 1_500_000;
const LINE = "0123456789abcdef";

let stage: Stage;
beforeAll(async () => {
  stage = await setTheStage();
});
afterAll(() => stage?.close());

/** A request whose command writes so much, sent as such a peer sends it. */
async function ask(mark: string): Promise<Content> {
  const { alice, room, request } = stage;
  const command = ["sh", "-c", `echo "$0" >> ran; yes ${LINE} | head -c ${BYTES}`, mark];
  const content = request(mark, { command });
  await alice.send(room, EventTypes.execRequest, alice.sign(room, EventTypes.execRequest, content));
  return content;
}

/** The streams as they stood in the room when `finished` came, ended ones with their end. */
async function untilFinished(asked: Content): Promise<{ stdout: string; ended: Set<string>; end: Content }> {
  const { alice } = stage;
  await alice.until(isAbout(asked, EventTypes.execFinished), 50);
  const about = alice.events.filter(isAbout(asked, EventTypes.streamChunk, EventTypes.execFinished));
  const at = about.findIndex(({ type }) => type === EventTypes.execFinished);
  const pieces = new Map<number, Uint8Array>();
  const ended = new Set<string>();
  for (const { content } of about.slice(0, at)) {
    const chunk = parseContent(EventTypes.streamChunk, content);
    if (!chunk.ok) throw new Error("a chunk that is none");
    if (chunk.value.eof) ended.add(chunk.value.stream);
    else if (chunk.value.stream === "stdout")
      pieces.set(chunk.value.seq, decodeChunk(chunk.value) ?? new Uint8Array());
  }
  const inOrder = [...pieces].sort(([one], [other]) => one - other).map(([, bytes]) => bytes);
  return { stdout: Buffer.concat(inOrder).toString(), ended, end: about[at]?.content ?? {} };
}

const written = `${LINE}\n`.repeat(Math.ceil(BYTES / (LINE.length + 1))).slice(0, BYTES);

test("all of a long output comes before the end, which such a peer takes for the last", async () => {
  const { stdout, ended, end } = await untilFinished(await ask("long"));
  expect(stdout === written, `${stdout.length} bytes of ${BYTES}`).toBe(true);
  expect([...ended].sort()).toEqual(["stderr", "stdout"]);
  expect(end).toMatchObject({ exit_code: 0, stdout_bytes: BYTES, truncated: false });
});

test("also when the daemon is killed while it is on its way", async () => {
  const { alice, builder } = stage;
  const asked = await ask("killed");
  await alice.until(isAbout(asked, EventTypes.streamChunk));
  const pid = await builder.daemonPid();
  process.kill(pid, "SIGKILL");
  await eventually(async () => !isAlive(pid));
  await builder.startDaemon();
  const { stdout, end } = await untilFinished(asked);
  expect(stdout === written, `${stdout.length} bytes of ${BYTES}`).toBe(true);
  expect(end).toMatchObject({ exit_code: 0, stdout_bytes: BYTES, truncated: false });
  expect(await stage.ran()).toEqual(["long", "killed"]);
});

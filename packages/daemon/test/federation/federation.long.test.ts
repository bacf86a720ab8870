/**
 * Two agents on two homeservers that federate, which are always two Synapses: the embedded one does not federate. In the
 * middle nothing gets from one to the other, for a minute in the full run.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { type Federation, startFederation } from "../../../../scripts/synapse/federation.ts";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box, linesOf, scale } from "../crash/support/box.ts";

const PARTITION_MS = Math.max(5_000, Math.round(60_000 * scale()));

let federation: Federation;
beforeAll(async () => {
  federation = await startFederation();
});
afterAll(() => federation?.close());

describe.each([
  ["a plain", false],
  ["an end-to-end encrypted", true],
])("in %s workspace over two homeservers", (_, encrypted) => {
  let they: TwoDaemons;
  let builder: Box;
  let files = 0;
  beforeAll(async () => {
    const [homeserver, builderHomeserver] = federation.servers;
    they = await twoDaemons({ homeserver, builderHomeserver, encrypted });
    builder = await Box.of(they.builder);
  });
  afterAll(() => they?.close());

  /** A file in the project, and the words of a shell that waits until it is there. */
  function gate(): { wait: string; open(): Promise<void> } {
    const file = join(they.project, `go-${++files}`);
    return {
      wait: `n=0; while [ ! -e ${file} ] && [ $n -lt 3000 ]; do n=$((n+1)); sleep 0.1; done`,
      open: () => writeFile(file, ""),
    };
  }

  test("output comes while the command runs, input reaches it, and its status is the command's", async () => {
    const { wait, open } = gate();
    const live = they.execLive(["sh", "-c", `echo one; ${wait}; cat; exit 3`]);
    await live.until("one\n");
    const input = "line of input\n".repeat(20_000);
    live.child.stdin.end(input);
    await open();
    const { code, stdout } = await live.ended;
    expect(code).toBe(3);
    expect(stdout === `one\n${input}`).toBe(true);
  });

  test(`${PARTITION_MS / 1000} s without a line between the servers lose no output, no request and no outcome`, async () => {
    const [before, meanwhile] = [gate(), gate()];
    const began = join(they.project, `began-${++files}`);
    const live = they.execLive(
      ["sh", "-c", `echo one; ${before.wait}; echo two; ${meanwhile.wait}; echo three; exit 4`],
      ["--stdin", "none"],
    );
    await live.until("one\n");
    federation.cut();
    await before.open();
    const asked = they.exec(["sh", "-c", `echo began >> ${began}; echo asked meanwhile`]);
    await meanwhile.open();
    await eventually(async () => (await builder.ask("daemon.status", {})).running_invocations === 0);
    await pause(PARTITION_MS);
    expect(live.stdout).toBe("one\n");
    expect(await linesOf(began)).toBe(0);
    federation.mend();
    expect(await live.ended).toMatchObject({ code: 4, stdout: "one\ntwo\nthree\n" });
    expect(await asked).toMatchObject({ code: 0, stdout: "asked meanwhile\n" });
    expect(await linesOf(began)).toBe(1);
  });
});

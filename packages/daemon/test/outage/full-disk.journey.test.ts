/** The spool meets the end of what may be written: RLIMIT_FSIZE, which is EFBIG where a full disk is ENOSPC. */
import { spawn } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { policyFor, type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { Box } from "../crash/support/box.ts";

/** In bash's units of 1,024 bytes: room for the daemon's own files, and not for the output. */
const LIMIT_KIB = 16 * 1024;
const OUTPUT_BYTES = 24 * 1024 * 1024;

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons({
    policy: (room, user, project) => policyFor(room, user, ["head", "echo"], project),
  });
});
afterAll(() => they?.close());

test("a spool that cannot grow ends its run, says so, and harms no other", async () => {
  const builder = await Box.of(they.builder);
  await builder.kill();
  await builder.killRunner();
  const words = [...they.builder.command, "daemon-process"];
  spawn("bash", ["-c", `ulimit -f ${LIMIT_KIB}; exec "$@"`, "bash", ...words], {
    env: they.builder.env,
    detached: true,
    stdio: "ignore",
    cwd: "/",
  }).unref();
  await eventually(() => isUp(builder));
  const full = await they.exec(["head", "-c", String(OUTPUT_BYTES), "/dev/zero"], {
    flags: ["--stdin", "none"],
  });
  expect(full.code).toBe(74);
  expect(full.stderr).toContain("MX_STREAM_INCOMPLETE");
  expect(await they.exec(["echo", "still here"])).toMatchObject({ code: 0, stdout: "still here\n" });
});

async function isUp(box: Box): Promise<boolean> {
  const client = await box.connect().catch(() => undefined);
  client?.close();
  return client !== undefined;
}

import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { StreamSpool } from "../src/spool.ts";

it("output that the disk fails to keep at the last moment does not keep the run from ending", async () => {
  const file = await open(join(mkdtempSync(join(tmpdir(), "mx-spool-")), "stdout"), "a");
  const spool = new StreamSpool(file);
  await spool.append(Buffer.from("all of it"));
  // From here on the system refuses every sync.
  await file.close();
  expect(await spool.close()).toEqual({
    bytes: 9,
    sha256: createHash("sha256").update("all of it").digest("hex"),
    lost: "file closed",
  });
});

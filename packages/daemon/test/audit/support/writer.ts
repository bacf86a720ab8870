/**
 * A program that puts decisions on record until it is told to stop or cannot, and says on stdout which
 * of them are: `writer.ts DIR COUNT [PADDING]`. One JSON line for each entry.
 */

import { MxError } from "@mx-agent/base";
import { importSigningKey } from "@mx-agent/protocol";
import { signerOf } from "../../../src/audit/checkpoint.ts";
import { openAudit } from "../../../src/audit/log.ts";

// A limit of the file size ends the process by a signal, unless somebody listens: then it is EFBIG.
process.on("SIGXFSZ", () => {});
const [dir = "", count = "0", padding = "0"] = process.argv.slice(2);
const signer = signerOf(importSigningKey(new Uint8Array(32).fill(7)));
const log = openAudit({ dir, clock: () => new Date(), signer, maxBytes: 1_000_000 });
const say = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`);

for (let n = 1; n <= Number(count); n++) {
  const before = log.head();
  try {
    const { seq } = log.append({
      kind: "decision",
      invocation_id: `inv_${n}`,
      padding: "x".repeat(Number(padding)),
    });
    say({ n, seq });
  } catch (error) {
    if (!(error instanceof MxError)) throw error;
    const { seq, hash } = log.head();
    say({ n, code: error.code, hint: error.hint, unchanged: seq === before.seq && hash === before.hash });
  }
}
log.close();

import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurnsUntilDecided } from "../../../scripts/bench/sampling.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { couple, wholeProgram } from "./couple.ts";
import { startSshd } from "./sshd.ts";
import { timeOf } from "./timed.ts";

export const name = "round-trip";
export const description =
  "A command on the other machine and its exit status, the whole program against a fresh ssh, in a room without encryption and a run without a sandbox";

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using sshd = await startSshd();
  await using embedded = await couple({ kind: "embedded" });
  await using synapse = await couple({ kind: "synapse" });
  const ssh = sshd.ssh("true");
  const n = Math.max(20, Math.round(200 * scale));
  return await inTurnsUntilDecided(
    {
      ssh: () => timeOf(ssh, process.env),
      embedded: () => wholeProgram(embedded),
      synapse: () => wholeProgram(synapse),
    },
    { n, atMost: 5 * n, warm: 5, say },
    rowsOf,
  );
}

function rowsOf(all: Record<"ssh" | "embedded" | "synapse", number[]>): Row[] {
  const against = `fresh ssh localhost true, ${median(all.ssh).toFixed(0)} ms`;
  const whole = "mx-agent exec -- true, all in";
  return [
    compared(
      { what: `${whole}, embedded`, against, unit: "ms", aim: "at most 1/2", must: { atMost: 0.5 } },
      all.embedded,
      all.ssh,
    ),
    compared({ what: `${whole}, Synapse`, against, unit: "ms", aim: "reported" }, all.synapse, all.ssh),
  ];
}

import { answer, type JsonFlag } from "../answer.ts";
import { ask, withCall } from "../daemon.ts";
import { parseCount } from "../parse/count.ts";
import { headOf, headsIn } from "../parse/heads.ts";
import { many } from "../parse/options.ts";
import { renderAuditLine, renderHeads, renderVerdict } from "../render/audit.ts";
import { type Define, setExit, verb } from "../verb.ts";

/** EX_DATAERR: the record is there, and it is not what was written. */
const DAMAGED = 65;

interface VerifyFlags extends JsonFlag {
  head: string[];
  heads?: string;
}

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "tail",
    summary: "the last entries of the record",
    example: "audit tail -f",
    more: "With --json one line for each entry.",
  })
    .option("-f, --follow", "go on with what is recorded from now on")
    .option("-n, --lines <count>", "how many", "20")
    .action(async (flags: JsonFlag & { follow?: boolean; lines: string }) => {
      const lines = parseCount(flags.lines, "--lines");
      await withCall(cli, "audit.tail", { lines, follow: flags.follow === true }, async (call) => {
        for await (const line of call.output) await answer(cli, flags, line, renderAuditLine);
        await call.result;
      });
    });

  verb(noun, {
    name: "show <invocation>",
    summary: "everything on record about one invocation or request",
    example: "audit show inv_01JZ3V5Q8K9M2N4P6R7S8T9V0W",
  }).action(async (invocation_id: string, flags: JsonFlag) => {
    const lines = await ask(cli, "audit.show", { invocation_id });
    await answer(cli, flags, lines, (all) => all.map(renderAuditLine).join("\n"));
  });

  verb(noun, {
    name: "verify [file]",
    summary: "check the chain, the checkpoints and their signatures",
    example: "audit verify",
    more:
      "Exit status 65 when the record was changed, cut or rewritten.\n" +
      "Who can write the record can also write it anew, with a chain and signatures that fit. What others\n" +
      "remember of it finds that: `mx-agent audit heads --agent NAME --json` on another machine, given here\n" +
      "with --heads.",
  })
    .option("--head <number:sha256>", "compare with this line; may be given several times", many, [])
    .option("--heads <file>", "compare with what `audit heads --json` showed on another machine; - for stdin")
    .action(async (file: string | undefined, flags: VerifyFlags) => {
      const { resolve } = await import("node:path");
      const heads = [...flags.head.map(headOf), ...(await headsIn(cli, flags.heads))];
      const verdict = await ask(cli, "audit.verify", {
        file: file === undefined ? null : resolve(file),
        heads,
      });
      await answer(cli, flags, verdict, (shown) => renderVerdict(shown, heads.length));
      if (!verdict.ok) setExit(cli, DAMAGED);
    });

  verb(noun, {
    name: "heads",
    summary: "what other machines published of their records, as it is remembered here",
    example: "audit heads --agent builder",
    more: "Each agent publishes where its record stands, signed, every 15 minutes; approved agents' are kept.",
  })
    .option("--room <room>", "of this workspace alone")
    .option("--agent <agent>", "of this agent alone")
    .action(async (flags: JsonFlag & { room?: string; agent?: string }) => {
      const heads = await ask(cli, "audit.heads", { room: flags.room ?? null, agent: flags.agent ?? null });
      await answer(cli, flags, heads, renderHeads);
    });
};

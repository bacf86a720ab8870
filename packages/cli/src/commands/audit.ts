import { mxError } from "@mx-agent/base";
import { answer, type JsonFlag } from "../answer.ts";
import { ask, withCall } from "../daemon.ts";
import { renderAuditLine, renderVerdict } from "../render/audit.ts";
import { type Define, setExit, verb } from "../verb.ts";

/** EX_DATAERR: the record is there, and it is not what was written. */
const DAMAGED = 65;

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
      const lines = Number(flags.lines);
      if (!Number.isSafeInteger(lines) || lines < 0)
        throw mxError("MX_USAGE", { detail: `--lines: ${flags.lines} is no count`, command: "audit tail" });
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
    more: "Exit status 65 when the record was changed, cut or rewritten.",
  }).action(async (file: string | undefined, flags: JsonFlag) => {
    const { resolve } = await import("node:path");
    const verdict = await ask(cli, "audit.verify", { file: file === undefined ? null : resolve(file) });
    await answer(cli, flags, verdict, renderVerdict);
    if (!verdict.ok) setExit(cli, DAMAGED);
  });
};

/** An interactive verification at this terminal. */
import type { DeviceInfo, Params, VerificationStage } from "@mx-agent/ipc";
import { answer, type JsonFlag, note } from "../answer.ts";
import type { Cli } from "../cli.ts";
import { withCall } from "../daemon.ts";
import { confirm, readLines } from "../prompt.ts";
import { renderStage } from "../render/device.ts";

const QUESTION = "Does the other side show the same?";

/** Shows what is to be compared and asks; with --json every stage is a line. Anything but a yes is a no. */
export async function compare(
  cli: Cli,
  params: Params<"device.compare">,
  flags: JsonFlag & { answerStdin?: boolean },
): Promise<DeviceInfo> {
  return withCall(cli, "device.compare", params, async (call) => {
    for await (const stage of call.output) {
      await show(cli, flags, stage);
      if (stage.type !== "compare") continue;
      const said = flags.answerStdin ? fromStdin(cli) : confirm(cli, QUESTION);
      // The other side may end it while the person still looks.
      const matches = await Promise.race([said, call.result.then(() => false)]);
      await call.send({ matches });
    }
    return call.result;
  });
}

async function show(cli: Cli, flags: JsonFlag, stage: VerificationStage): Promise<void> {
  if (flags.json) await answer(cli, flags, stage, () => "");
  else await note(cli, renderStage(stage));
}

async function fromStdin(cli: Cli): Promise<boolean> {
  const [line = ""] = await readLines(cli);
  return /^y(es)?$/i.test(line.trim());
}

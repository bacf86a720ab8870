/** One `call.run` from the request to its answer, over a restart of the daemon in between. */
import type { ActiveCall, CallParams, CallResult } from "@mx-agent/ipc";
import type { Cli } from "../cli.ts";
import { endUnheard, neverAsked, overRestarts } from "./lasting.ts";

/** The answer of the tool. The first signal ends it, the second leaves. */
export async function runCall(cli: Cli, params: CallParams): Promise<CallResult> {
  let invocation_id: string | undefined;
  const follow = async (call: ActiveCall<"call.run"> | ActiveCall<"call.resume">): Promise<CallResult> => {
    for await (const item of call.output) invocation_id = item.invocation_id;
    return call.result;
  };
  return overRestarts(cli, {
    first: {
      method: "call.run",
      run: (daemon, cancelBy) => {
        const call = daemon.call("call.run", params);
        cancelBy(() => call.cancel());
        return follow(call);
      },
    },
    again: (known) => ({
      method: "call.resume",
      run: async (daemon, cancelBy) => {
        const call = daemon.call("call.resume", { invocation_id: known });
        cancelBy(() => call.cancel());
        try {
          return await follow(call);
        } catch (error) {
          throw neverAsked(error);
        }
      },
    }),
    invocation_id: () => invocation_id,
    notBack: endUnheard,
  });
}

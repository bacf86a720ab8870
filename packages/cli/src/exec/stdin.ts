import type { ActiveCall } from "@mx-agent/ipc";
import type { Cli } from "../cli.ts";

/** Bytes of stdin in one item; base64 makes a third more of them. */
const PIECE = 48 * 1024;

/** Sends our stdin as it comes, at the pace of the other end, and then its end. */
export async function sendStdin(cli: Cli, call: ActiveCall<"exec.run">): Promise<void> {
  for await (const chunk of cli.stdin) {
    const bytes = Buffer.from(chunk);
    for (let at = 0; at < bytes.length; at += PIECE)
      await call.send({ type: "stdin", data: bytes.subarray(at, at + PIECE).toString("base64") });
  }
  await call.send({ type: "eof" });
}

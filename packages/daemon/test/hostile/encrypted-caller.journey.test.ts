/** The asking side in an encrypted room, against a member who reads every request there and forges its results. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { EventTypes } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { EncryptedAccount } from "./support/encrypted-account.ts";

let they: TwoDaemons;
let mallory: EncryptedAccount;
beforeAll(async () => {
  they = await twoDaemons({ encrypted: true });
  mallory = await EncryptedAccount.register(they.homeserver, "mallory");
  await they.laptop.ask(["workspace", "invite", mallory.user_id, "--room", they.room]);
  await mallory.join(they.room);
});
afterAll(async () => {
  await mallory?.close();
  await they?.close();
});

test("a result that a member made, whichever it is and however it comes, changes nothing", async () => {
  const { laptop, builder, room, project } = they;
  const live = they.execLive(["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done; echo right; exit 3"]);
  const asked = await mallory.until(
    ({ type, content }) => type === EventTypes.execRequest && JSON.stringify(content).includes("echo right"),
  );
  const { invocation_id } = asked.content;
  const { account } = await laptop.ask<{ account: { user_id: string; device_id: string } }>([
    "daemon",
    "status",
  ]);
  const now = new Date().toISOString();
  const results: [string, object][] = [
    [EventTypes.execAccepted, { invocation_id, device_id: mallory.device_id }],
    [EventTypes.execRejected, { invocation_id, reason: "policy_denied" }],
    [
      EventTypes.execCancelled,
      { invocation_id, signal_sent: "SIGTERM", killed_process_group: true, finished_at: now },
    ],
    [
      EventTypes.execFinished,
      {
        invocation_id,
        exit_code: 0,
        signal: null,
        duration_ms: 1,
        stdout_bytes: 0,
        stderr_bytes: 0,
        truncated: false,
        artifact_mxc: null,
      },
    ],
    [EventTypes.execCancel, { invocation_id, reason: "no", created_at: now, nonce: "n" }],
  ];
  const dropped = async () =>
    (await laptop.ask<{ dropped_results: number }>(["daemon", "status"])).dropped_results;
  const before = await dropped();
  for (const [type, content] of results) {
    await mallory.send(room, type, content);
    await mallory.send(room, type, mallory.sign(room, type, content));
    // As if the builder had signed it: with its name in the binding.
    const binding = { room_id: room, type, sender: builder.user, device_id: mallory.device_id };
    await mallory.send(room, type, { ...mallory.sign(room, type, content), binding });
    await mallory.sendToDevice(account.user_id, account.device_id, type, mallory.sign(room, type, content));
  }
  // A cancel is for the executing side, and no result.
  await expect.poll(dropped, { timeout: 20_000 }).toBeGreaterThanOrEqual(before + (results.length - 1) * 4);
  await writeFile(join(project, "go"), "");
  expect(await live.ended).toEqual({ code: 3, stdout: "right\n", stderr: "" });
});

import { EventTypes, parseContent } from "@mx-agent/protocol";
import { expect, test } from "vitest";
import { Identity } from "../../src/identity.ts";
import type { Outgoing } from "../../src/matrix/api.ts";
import { answerHeld } from "../../src/publish/answers.ts";
import { BUILDER, builderKey, eventOf, NOW, request, signed } from "../admit/support.ts";

test("a request that is held is shown to its approvers and its caller, however long its command is", () => {
  const content = signed(request({ command: ["sh", "-c", "\u0001\u{1f600}".repeat(3_000)] }));
  const parsed = parseContent(EventTypes.execRequest, content);
  if (!parsed.ok) throw new Error(parsed.problem);
  const sent: Outgoing[] = [];
  const account = { user_id: BUILDER, device_id: "D", homeserver: "https://example.org" };
  const outbox = { enqueue: (one: Outgoing) => void sent.push(one) };
  answerHeld(
    eventOf(content),
    { request: { kind: "exec", content: parsed.value }, approvers: [] },
    {
      identity: new Identity(builderKey, account),
      outbox: outbox as unknown as Parameters<typeof answerHeld>[2]["outbox"],
      now: () => NOW,
    },
  );
  const [asked, notice] = sent;
  const shown = parseContent(EventTypes.approvalRequest, asked?.content);
  expect(shown).toMatchObject({ ok: true });
  expect(shown.ok && shown.value.summary).toMatch(/^sh -c .*characters in all\)$/s);
  expect(JSON.stringify(notice?.content).length).toBeLessThan(40_000);
});

/** A member who asks for what only a requester may know: what became of an invocation. */
import { EventTypes, newNonce } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { type Stage, setTheStage } from "./support/stage.ts";

const QUERY = EventTypes.invocationQuery;

let stage: Stage;
beforeAll(async () => {
  stage = await setTheStage();
});
afterAll(() => stage?.close());

test("nobody but its requester hears what became of an invocation, and he once for each question", async () => {
  const { alice, mallory, builder, room } = stage;
  await stage.legitimate("first");
  const asked = alice.events.find(({ type }) => type === EventTypes.execRequest);
  const invocation_id = asked?.content.invocation_id;
  const { account } = await builder.ask<{ account: { user_id: string; device_id: string } }>([
    ...["daemon", "status"],
  ]);
  const ask = (who: typeof alice, content: object) =>
    who.sendToDevice(account.user_id, account.device_id, QUERY, content);
  const own = alice.sign(room, QUERY, { invocation_id, nonce: newNonce() });
  await ask(mallory, own);
  await ask(mallory, mallory.sign(room, QUERY, { invocation_id, nonce: newNonce() }));
  await ask(mallory, mallory.sign(room, QUERY, { invocation_id, nonce: newNonce() }, alice.key));
  await ask(alice, own);
  await ask(alice, own);
  const last = alice.sign(room, QUERY, { invocation_id, nonce: newNonce() });
  await ask(alice, last);
  const answers = () => alice.messages.filter(({ type }) => type === EventTypes.invocationAnswer);
  await eventually(async () => {
    await alice.pump();
    return answers().some(({ content }) => content.nonce === last.nonce);
  });
  expect(answers().map(({ content }) => [content.nonce, content.state])).toEqual([
    [own.nonce, "finished"],
    [last.nonce, "finished"],
  ]);
  await mallory.pump();
  expect(mallory.messages.filter(({ type }) => type === EventTypes.invocationAnswer)).toEqual([]);
});

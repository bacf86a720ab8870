/** A member who asks for what only a requester may know: what became of an invocation. */
import { EventTypes, newNonce } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { type Stage, setTheStage, trust } from "./support/stage.ts";

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

test("of what was pruned, never was, or is another's, a trusted key hears that it is unknown; others hear nothing", async () => {
  const { alice, mallory, builder, room } = stage;
  await stage.legitimate("pruned");
  await stage.legitimate("kept");
  const ids = alice.events
    .filter(({ type }) => type === EventTypes.execRequest)
    .map(({ content }) => content.invocation_id);
  const { account } = await builder.ask<{ account: { user_id: string; device_id: string } }>([
    ...["daemon", "status"],
  ]);
  const asked = async (who: typeof alice, invocation_id: unknown) => {
    const content = who.sign(room, QUERY, { invocation_id, nonce: newNonce() });
    await who.sendToDevice(account.user_id, account.device_id, QUERY, content);
    return content.nonce;
  };
  const heard = (who: typeof alice, nonce: unknown) =>
    who.messages.find(({ type, content }) => type === EventTypes.invocationAnswer && content.nonce === nonce)
      ?.content.state;
  const answered = async (who: typeof alice, nonce: unknown) => {
    await eventually(async () => {
      await who.pump();
      return heard(who, nonce) !== undefined;
    });
    return heard(who, nonce);
  };
  const early = await asked(mallory, "inv_01JZ0000000000000000000000");
  expect(await answered(alice, await asked(alice, ids.at(-1)))).toBe("finished");
  await builder.ask(["invocation", "prune", "--older-than", "0s"]);
  await stage.legitimate("later");
  const [later] = alice.events.filter(({ type }) => type === EventTypes.execRequest).slice(-1);
  expect(await answered(alice, await asked(alice, ids.at(-1)))).toBe("unknown");
  expect(await answered(alice, await asked(alice, "inv_01JZ0000000000000000000000"))).toBe("unknown");
  await mallory.pump();
  expect(heard(mallory, early)).toBeUndefined();
  await mallory.announce(room, "mallory");
  await trust(builder, room, "mallory", mallory.key);
  expect(await answered(mallory, await asked(mallory, later?.content.invocation_id))).toBe("unknown");
  expect(await answered(mallory, await asked(mallory, "inv_01JZ0000000000000000000000"))).toBe("unknown");
});

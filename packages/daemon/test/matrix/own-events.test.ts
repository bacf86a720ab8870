import { expect, test } from "vitest";
import { OwnEvents } from "../../src/matrix/own-events.ts";

const ME = "@me:example.org";
const event = (n: number) => ({ room_id: "!r", type: "com.mxagent.exec.request.v1", content: `{"n":${n}}` });
const wire = (n: number) => ({ algorithm: "m.megolm.v1.aes-sha2", ciphertext: `c${n}` });
const echo = (n: number, changes = {}) => ({
  ...{ sender: ME, room_id: "!r", content: JSON.stringify(wire(n)) },
  ...changes,
});

function having(...numbers: number[]): OwnEvents {
  const own = new OwnEvents(ME);
  for (const n of numbers) own.remember(wire(n), event(n));
  return own;
}

test("what comes back as it was sent is known without being decrypted, once", () => {
  const own = having(1, 2);
  expect(own.take(echo(2))).toEqual(event(2));
  expect(own.take(echo(2))).toBeUndefined();
  expect(own.take(echo(1))).toEqual(event(1));
});

test.each([
  ["another sender", { sender: "@you:example.org" }],
  ["another room", { room_id: "!s" }],
  ["another ciphertext", { content: JSON.stringify(wire(2)) }],
  ["no ciphertext", { content: JSON.stringify({ ciphertext: { ciphertext: "c1" } }) }],
])("our ciphertext under %s has to be decrypted", (_, changes) => {
  expect(having(1).take(echo(1, changes))).toBeUndefined();
});

test("what is never brought back is forgotten", () => {
  const own = having(...Array.from({ length: 100 }, (_, n) => n));
  expect(own.take(echo(0))).toBeUndefined();
  expect(own.take(echo(99))).toEqual(event(99));
});

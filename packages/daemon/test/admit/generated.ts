/** Events as nobody sends them by mistake: a good request with something wrong in it, or nothing but noise. */
import { EventTypes } from "@mx-agent/protocol";
import fc from "fast-check";
import type { IncomingEvent } from "../../src/matrix/api.ts";
import { ALICE, type Content, eventOf, NOW, ROOM, request, signed } from "./support.ts";

const names = [
  ...Object.keys(signed(request())),
  "reply",
  "target_key_id",
  "args",
  "tool",
  "__proto__",
  "constructor",
];
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<unknown>(null, 1.5, -1, 2 ** 53, "", "\ud800", [], {}, true, "x".repeat(300), ["sh", 1]),
  fc.integer({ min: -700_000, max: 700_000 }).map((ms) => new Date(NOW + ms).toISOString()),
);

/** Changes before the signing pass it, those after it must not. */
const change = fc.record({
  name: fc.constantFrom(...names),
  value,
  remove: fc.boolean(),
  when: fc.constantFrom<"before" | "after">("before", "after"),
});

const transport = fc.oneof(
  fc.constant<IncomingEvent["transport"]>({ encrypted: false }),
  fc.record({
    encrypted: fc.constant<true>(true),
    device_id: fc.constantFrom("DEVICE", "OTHER", null),
    authentic: fc.boolean(),
    verified: fc.boolean(),
  }),
);

const envelope = fc.record({
  room_id: fc.constantFrom(ROOM, "!other:example.org", null),
  sender: fc.constantFrom(ALICE, "@mallory:example.org"),
  type: fc.constantFrom<string>(EventTypes.execRequest, EventTypes.callRequest),
  backfilled: fc.boolean(),
  transport,
});

export const mutated = fc
  .record({ changes: fc.array(change, { maxLength: 3 }), envelope, usual: fc.boolean() })
  .map(({ changes, envelope: around, usual }) => {
    const before = changed(
      request(),
      changes.filter(({ when }) => when === "before"),
    );
    const content = changed(
      signable(before),
      changes.filter(({ when }) => when === "after"),
    );
    return eventOf(content, usual ? {} : around);
  });

export const noise = fc
  .record({ content: fc.jsonValue({ maxDepth: 5 }), envelope })
  .map(({ content, envelope: around }) => eventOf(content, around));

export const anyEvent = fc.oneof({ weight: 4, arbitrary: mutated }, { weight: 1, arbitrary: noise });

/** What has no canonical JSON stays unsigned. */
function signable(content: Content): Content {
  try {
    return signed(content);
  } catch {
    return content;
  }
}

function changed(content: Content, changes: { name: string; value: unknown; remove: boolean }[]): Content {
  const result = { ...content };
  for (const { name, value: given, remove } of changes) {
    if (remove) delete result[name];
    else
      Object.defineProperty(result, name, {
        value: given,
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return result;
}

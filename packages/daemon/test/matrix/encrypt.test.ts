import { expect, test } from "vitest";
import type { Outgoing } from "../../src/matrix/api.ts";
import { encryptor } from "../../src/matrix/encrypt.ts";

const toBob: Outgoing = {
  ...{ kind: "to_device", room_id: "!r:x", user_id: "@bob:x", device_id: "B" },
  ...{ type: "com.mxagent.stream.chunk.v1", content: {} },
};

/** An encryption that knows one device of Bob's, and a disk that is through when it is told to. */
function encrypting(payload: object | undefined) {
  const disk = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const encrypt = encryptor({
    crypto: {
      getUserDeviceInfo: async () => new Map([["@bob:x", new Map([["B", {}]])]]),
      encryptToDeviceMessages: async () => ({ batch: payload ? [{ payload }] : [] }),
    },
    rooms: { isEncrypted: () => true },
    clock: () => 1_000_000,
    durable: () => {
      asked.resolve();
      return disk.promise;
    },
  } as unknown as Parameters<typeof encryptor>[0]);
  return { encrypt, disk, asked };
}

test("what was encrypted is given out when the disk has what the encryption remembers of it", async () => {
  const { encrypt, disk, asked } = encrypting({ ciphertext: "c" });
  const order: string[] = [];
  const given = encrypt(toBob).then((prepared) => {
    order.push("given");
    return prepared;
  });
  await asked.promise;
  order.push("asked");
  disk.resolve();
  expect(await given).toEqual({ type: "m.room.encrypted", content: { ciphertext: "c" } });
  expect(order).toEqual(["asked", "given"]);
});

test("what the encryption leaves out without a word is said, and not sent", async () => {
  const { encrypt } = encrypting(undefined);
  await expect(encrypt(toBob)).rejects.toMatchObject({ code: "MX_NOT_FOUND" });
});

import { expect } from "vitest";
import type { IDBFactory } from "../../src/matrix/crypto-store/idb.ts";
import { openDurableIndexedDB } from "../../src/matrix/crypto-store/index.ts";
import { Player } from "./player.ts";
import type { Step } from "./script.ts";
import { contents } from "./support.ts";

/** Plays a script on a durable store, which is started again where the script says so, and on `reference`. */
export async function playAlike(script: Step[], file: string, reference: IDBFactory): Promise<void> {
  let store = await openDurableIndexedDB({ file, version: "0.1.0" });
  const restart = async () => {
    await store.close();
    store = await openDurableIndexedDB({ file, version: "0.1.0", missing: "refuse" });
  };
  try {
    for (const step of script) {
      if (step.do === "restart") {
        await restart();
        expect(await contents(store.indexedDB)).toStrictEqual(await contents(reference));
      } else {
        const expected = await new Player(reference).play(step);
        expect(await new Player(store.indexedDB).play(step)).toStrictEqual(expected);
      }
    }
    expect(await contents(store.indexedDB)).toStrictEqual(await contents(reference));
    await restart();
    expect(await contents(store.indexedDB)).toStrictEqual(await contents(reference));
  } finally {
    await store.close();
  }
}

import { expect, test } from "vitest";
import { Pending } from "../../src/request/pending.ts";
import { refuseTooLarge } from "../../src/request/size.ts";
import { request } from "./support/request.ts";

test("who waited may have gone when the run begins or is held, and nothing fails unseen", async () => {
  const unseen: unknown[] = [];
  const note = (error: unknown) => unseen.push(error);
  process.on("unhandledRejection", note);
  const gone = () => Promise.reject(new Error("cancelled"));
  const pending = new Pending(request, {
    tell: () => {},
    inquire: () => {},
    emit: gone,
    now: () => 0,
    media: { download: () => Promise.reject(new Error("nothing there")) },
  });
  pending.held("true", "2026-01-01T00:00:00.000Z");
  pending.accepted();
  await pending.begun;
  await new Promise((resolve) => setImmediate(resolve));
  pending.close();
  process.off("unhandledRejection", note);
  expect(unseen).toEqual([]);
});

test("a request that no receiver would read is refused here, with its size", () => {
  expect(() => refuseTooLarge({ command: ["x".repeat(41_000)] })).toThrow(/may be 40960/);
  expect(() => refuseTooLarge({ command: ["x".repeat(39_000)] })).not.toThrow();
});

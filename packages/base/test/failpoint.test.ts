import { expect, test } from "vitest";
import { runFixture } from "./program.ts";

test("a process passes failpoints unharmed where none is set", async () => {
  expect(await runFixture("passages.ts")).toMatchObject({ code: 0, stdout: "1\n2\n3\n" });
});

test("a process is killed at the named failpoint, at the named passage", async () => {
  const first = await runFixture("passages.ts", [], { MX_AGENT_FAILPOINT: "passage" });
  expect(first).toMatchObject({ signal: "SIGKILL", stdout: "" });
  const third = await runFixture("passages.ts", [], { MX_AGENT_FAILPOINT: "passage:3" });
  expect(third).toMatchObject({ signal: "SIGKILL", stdout: "1\n2\n" });
  const other = await runFixture("passages.ts", [], { MX_AGENT_FAILPOINT: "pass" });
  expect(other).toMatchObject({ code: 0 });
});

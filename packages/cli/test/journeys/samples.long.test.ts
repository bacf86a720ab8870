/** The sample of a CI runner, as it is in policy/, on a machine that has this very project: its two tools are called. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { probeMachine } from "@mx-agent/sandbox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TwoDaemons, twoDaemons } from "../support/two-daemons.ts";

const project = fileURLToPath(new URL("../../../../", import.meta.url)).replace(/\/$/, "");
const sample = fileURLToPath(new URL("../../../../policy/ci-runner.toml", import.meta.url));
const { bubblewrap } = await probeMachine();

describe.skipIf(!bubblewrap.available)(
  "the tools of the sample for a CI runner, called from another machine",
  () => {
    let they: TwoDaemons;
    beforeAll(async () => {
      const text = await readFile(sample, "utf8");
      they = await twoDaemons({
        policy: (room, user) =>
          text
            .replaceAll("/srv/mx-agent", project)
            .replaceAll("!ci:example.org", room)
            .replaceAll("@alice:example.org", user)
            .replace(/^require_verified_device = true/m, "require_verified_device = false"),
      });
    });
    afterAll(() => they?.close());

    const call = (tool: string, ...rest: string[]) =>
      they.laptop.run(["call", "--room", they.room, "--agent", "builder", "--tool", tool, ...rest]);

    test("lint checks a package, and answers in JSON", async () => {
      const linted = await call("lint", "--arg", "package=ipc");
      expect(linted.code).toBe(0);
      expect(JSON.parse(linted.stdout)).toMatchObject({ summary: { errors: 0 } });
    });

    test("run_tests runs those of a package that have that name", async () => {
      const tested = await call("run_tests", "--arg", "package=ipc", "--arg", "name=a frame in single bytes");
      expect(tested.code).toBe(0);
      expect(tested.stdout).toMatch(/1 passed/);
    });
  },
);

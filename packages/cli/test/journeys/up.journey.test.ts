/** From nothing to the first remote output: two machines with empty homes, and what is typed on them. */
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { bareMachine, closeAll, type Machine } from "../support/machine.ts";

const machines: Machine[] = [];
const homeservers: TestHomeserver[] = [];
afterEach(async () => {
  await closeAll(machines.splice(0).toReversed());
  await Promise.all(homeservers.splice(0).map((homeserver) => homeserver.close()));
});

async function machine(name: string): Promise<Machine> {
  const made = await bareMachine(name);
  machines.push(made);
  return made;
}

/** What `up` is told: the embedded homeserver, or the one that this run of the tests is on. */
async function upFlags(): Promise<string[]> {
  const embedded = ["--embedded", "--bind", "127.0.0.1:0"];
  if (process.env.MX_TEST_HOMESERVER !== "synapse") return embedded;
  const homeserver = await startHomeserverForTests();
  homeservers.push(homeserver);
  return ["--homeserver", homeserver.url, "--register"];
}

const hasSandbox = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "true"]).status === 0;

test.skipIf(!hasSandbox)(
  "three commands lead from two empty machines to the first remote output",
  async () => {
    const [laptop, builder] = [await machine("laptop"), await machine("builder")];
    const project = join(builder.home, "project");
    await mkdir(project);
    await writeFile(join(project, "fruit.txt"), "pear\napple\n");
    let typed = 0;
    const type = (on: Machine, ...words: string[]) => {
      typed += 1;
      return on.run(words);
    };
    const up = await type(laptop, "up", ...(await upFlags()), "--agent", "laptop");
    expect(up.code, up.stderr).toBe(0);
    const link = /mx-agent join (\S+)/.exec(up.stdout)?.[1] ?? "";
    const joined = await type(
      builder,
      ...["join", link, "--yes", "--agent", "builder"],
      ...["--allow-commands", "sort", "--cwd", project],
      ...(homeservers.length > 0 ? ["--register"] : []),
    );
    expect(joined.code, joined.stderr).toBe(0);
    const ran = await type(laptop, "exec", "--agent", "builder", "--", "sort", "fruit.txt");
    expect(ran).toMatchObject({ code: 0, stdout: "apple\npear\n" });
    expect(typed).toBe(3);
  },
);

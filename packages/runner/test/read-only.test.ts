/** What the policy shows read-only inside of a project, against a peer who may pick any directory of it to start in. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { probeMachine, type SandboxRequest } from "@mx-agent/sandbox";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { identity, nobody, runner, self, type TestRunner } from "./support/harness.ts";

const { bubblewrap } = await probeMachine();
const unavailable = bubblewrap.available ? "" : ` (NOT RUN: ${bubblewrap.reason})`;
const canChange = self.uid === 0 && spawnSync("setpriv", ["--version"]).status === 0;
const users = [
  { who: self.uid === 0 ? "root" : "this user", user: self, skip: !bubblewrap.available },
  { who: "an ordinary user", user: nobody, skip: !bubblewrap.available || !canChange },
];

for (const { who, user, skip } of users)
  describe.skipIf(skip)(`a sandboxed command of ${who}${unavailable}`, () => {
    let one: TestRunner;
    let project: string;

    const shown = (writable: string[], readOnly: string[]): SandboxRequest => ({
      backend: "bubblewrap",
      network: "deny",
      writable_paths: writable,
      read_only_paths: readOnly,
      hidden_paths: [one.home],
    });
    const sh = (script: string, sandbox: SandboxRequest, cwd = project) =>
      one.sh(script, { sandbox, cwd: identity(cwd) });
    const files = () => readdirSync(project, { recursive: true, encoding: "utf8" }).toSorted();

    beforeEach(async () => {
      one = await runner(user);
      project = one.project;
      const made = await sh(
        "mkdir -p .git/hooks src/kept build; echo safe > .git/config; echo safe > src/kept/file",
        shown([project], []),
      );
      expect(made).toMatchObject({ exit_code: 0 });
    });
    afterEach(() => one[Symbol.asyncDispose]());

    it("cannot write into a read-only .git of its project, wherever it starts, and can beside it", async () => {
      for (const start of [".", ".git", ".git/hooks", "src"]) {
        const before = files();
        const end = await sh(
          `touch pre-commit && rm pre-commit; cd ${project}; echo evil > .git/config
          touch .git/hooks/pre-commit .git/new; chmod 777 .git; ln .git/config src/linked
          mv .git/config .git/hooks/moved; rm -rf .git/hooks .git; mv -T .git away
          echo fine > src/mine && cat src/mine && rm src/mine`,
          shown([project], [join(project, ".git")]),
          join(project, start),
        );
        expect(end.stdout, start).toBe("fine\n");
        expect(files(), start).toEqual(before);
        expect(readFileSync(join(project, ".git/config"), "utf8"), start).toBe("safe\n");
      }
    });

    it("cannot put another directory in the place of the one around a read-only path", async () => {
      for (const start of [".", "src", "build"]) {
        await sh(
          `cd ${project}; mv src away; mkdir -p src/kept; echo evil > src/kept/file`,
          shown([project], [join(project, "src/kept")]),
          join(project, start),
        );
        expect(readFileSync(join(project, "src/kept/file"), "utf8"), start).toBe("safe\n");
        expect(existsSync(join(project, "away")), start).toBe(false);
      }
    });

    it("writes where a directory of a read-only project is writable, and only there, wherever it starts", async () => {
      for (const start of [".", "build", "src"]) {
        const before = files();
        const end = await sh(
          `cd ${project}; touch new src/new .git/new; echo fine > build/made && cat build/made && rm build/made`,
          shown([join(project, "build")], [project]),
          join(project, start),
        );
        expect(end.stdout, start).toBe("fine\n");
        expect(files(), start).toEqual(before);
      }
    });

    it("does not start where its directory was replaced since it was checked, listed or not", async () => {
      const cwd = identity(join(project, "build"));
      const spec = (sandbox: SandboxRequest) => one.spec(["ls"], { sandbox, cwd });
      renameSync(cwd.path, `${cwd.path}.away`);
      mkdirSync(cwd.path);
      for (const sandbox of [
        shown([project], []),
        shown([project], [cwd.path]),
        shown([cwd.path], [project]),
      ])
        expect((await one.start(spec(sandbox))).end).toMatchObject({ error: { code: "CHANGED" } });
      rmSync(cwd.path, { recursive: true });
    });
  });
